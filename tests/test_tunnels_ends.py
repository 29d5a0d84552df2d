"""Every way to an end, at every stage of a tunnel: each stream ends once, gun_down lists those it killed, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.tunnels import ORIGINS, TunnelCase, Way, spread
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode

#: What no protocol here has: a record of TLS that cannot be decrypted, too long a frame of HTTP/2, no HTTP/1, another version of SOCKS.
NONSENSE = b"\x17\x03\x03\0\x05junk!\r\n\r\n"


def cancel_tunnel(way: Way) -> None:
    """The user cancels the last tunnel."""
    (way.tunnels[-1].cancel if way.tunnels else way.connection.close)()


def cancel_first_tunnel(way: Way) -> None:
    """The user cancels the first one."""
    (way.tunnels[0].cancel if way.tunnels else way.connection.close)()


def shut_tunnel_down(way: Way) -> None:
    """The user shuts the last tunnel down."""
    (way.tunnels[-1].shutdown if way.tunnels else way.connection.shutdown)()


def shut_down(way: Way) -> None:
    """The user shuts the connection down."""
    way.connection.shutdown()


def close(way: Way) -> None:
    """The user closes the connection."""
    way.connection.close()


def lose_first_proxy(way: Way) -> None:
    """The first proxy resets the connection."""
    for link in way.endpoints[way.hosts[0]].links[:1]:
        link.server.abortConnection()


def first_proxy_closes(way: Way) -> None:
    """It closes it."""
    for link in way.endpoints[way.hosts[0]].links[:1]:
        link.server.loseConnection()


def lose_last_proxy(way: Way) -> None:
    """The last proxy is gone."""
    for connection in way.factories[-1].connections[:1]:
        connection.abort()


def lose_origin(way: Way) -> None:
    """The origin resets the connection."""
    for link in way.endpoints[way.hosts[-1]].links[:1]:
        link.server.abortConnection()


def origin_closes(way: Way) -> None:
    """It closes it, without a word of TLS."""
    for link in way.endpoints[way.hosts[-1]].links[:1]:
        link.server.loseConnection()


def peer_closes(way: Way) -> None:
    """It closes it in good order."""
    for peer in way.peers[:1]:
        peer.close()


def origin_violates(way: Way) -> None:
    """It sends what no protocol here has."""
    for link in way.endpoints[way.hosts[-1]].links[:1]:
        link.server.write(NONSENSE)


def first_proxy_violates(way: Way) -> None:
    """The first proxy does."""
    for link in way.endpoints[way.hosts[0]].links[:1]:
        link.server.write(NONSENSE)


def go_away(way: Way) -> None:
    """A proxy of HTTP/2 goes away for good; another one closes."""
    for factory in way.factories:
        for connection in factory.connections[:1]:
            if connection.protocol == "http2":
                connection.write(frames.goaway(0, ErrorCode.ENHANCE_YOUR_CALM))
                return
    first_proxy_closes(way)


def lose_owner(way: Way) -> None:
    """The owner is gone."""
    way.connection.set_owner(None)


def wait(way: Way) -> None:
    """Nothing happens, for long."""


ENDS: tuple[Callable[[Way], None], ...] = (
    cancel_tunnel,
    cancel_first_tunnel,
    shut_tunnel_down,
    shut_down,
    close,
    lose_first_proxy,
    first_proxy_closes,
    lose_last_proxy,
    lose_origin,
    origin_closes,
    peer_closes,
    origin_violates,
    first_proxy_violates,
    go_away,
    lose_owner,
    wait,
)
#: Those that end the whole connection, with all streams in its tunnels.
OF_THE_CONNECTION = (lose_first_proxy, first_proxy_closes, first_proxy_violates)


class EndTests(TunnelCase):
    """What must be true of every end."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")
    origins = ("h2", "http")

    def check(self, stage: str, end: Callable[[Way], None]) -> None:
        """One stage, one end."""
        if stage == "tls" and ORIGINS[self.origin][0] != "tls":
            return
        way, _, told, streams = self.reach(stage)
        end(way)
        way.pump()
        cancelled = [stream for stream in way.tunnels if end in (cancel_tunnel, cancel_first_tunnel)]
        cancelled = cancelled[-1:] if end is cancel_tunnel else cancelled[:1]
        for endpoint in way.endpoints.values():
            endpoint.accept()
        for _ in range(4):
            way.advance(30)
        downs = self.assert_lists(told)
        killed = [stream for down in downs for stream in (*down.killed_streams, *down.unprocessed_streams)]
        self.assertEqual(len(set(killed)), len(killed))
        self.assertLessEqual(set(killed), {*streams, *way.tunnels})
        way.connection.close()
        way.pump()
        self.assert_each_ended_once(told, [each for each in (*streams, *way.tunnels) if each not in cancelled])
        for each in cancelled:
            self.assert_cancelled(told, each)
        self.assert_left_nothing(way)
        if stage == "busy" and end in OF_THE_CONNECTION:
            failed = {event.stream for event in told.of(gun.Error) if event.stream in streams}
            self.assertLessEqual(failed, set(killed))
            self.assertTrue(failed)


def _test(stage: str, end: Callable[[Way], None]) -> Any:
    def test(self: EndTests) -> None:
        self.check(stage, end)

    test.__doc__ = f"At the stage {stage!r}: {(end.__doc__ or '').lower()}"
    return test


for _stage in TunnelCase.STAGES:
    for _end in ENDS:
        setattr(EndTests, f"test_{_stage}_{_end.__name__}", _test(_stage, _end))

globals().update(spread(__name__))

"""Receivers that ask for anything, or raise, from within what they are told of tunnels and of the streams in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.play import Boom
from tests.tunnels import WAYS, TunnelCase, Way, spread
from twisted_gun.testing import RecordingReceiver


class Life:
    """One life over `way`, in which `action` is done the first `most` times that `callback` happens."""

    def __init__(self, make_way: Callable[..., Way], callback: str, action: str, most: int) -> None:
        self.callback, self.action, self.most = callback, getattr(self, f"do_{action}"), most
        self.done = 0
        self.told = RecordingReceiver(self.react)
        self.way = make_way(owner=self.told, reply_to=self.told, retry_timeout=1.0, quiet=True)
        self.streams: list[Any] = []
        self.cancelled: set[Any] = set()
        self.awaited: list[Any] = []
        self.target: Any = None
        self.top: Any = None

    # What happens.

    def play(self) -> None:
        """Tunnels, requests in them, a loss at the origin, one at the proxy, and once more."""
        self.way.open()
        self.conn = self.way.connection
        self.conn.await_up(None).addCallback(self.reached, "await_up").addErrback(self.ignore)
        for lose in (self.lose_origin, self.lose_proxy, self.answer):
            self.ask_for_all()
            self.way.pump()
            self.answer()
            lose()
            self.way.pump()
            self.way.advance(2)
        self.conn.close()
        self.way.pump()

    def ask_for_all(self) -> None:
        top: Any = self.conn
        for place in range(len(self.way.proxies)):
            if not self.way.proxies[place].startswith("socks") and top is not None:
                top = self.attempt(top.connect, self.way.destination(place + 1))
                if top is not None:
                    top.await_up(None).addCallback(self.reached, "await_up of the tunnel", top).addErrback(self.ignore)
        self.top = top
        for path in ("/1", "/2"):
            self.get(path)
        if top is not None:
            awaited = self.attempt(top.get, "/awaited", reply_to=None)
            if awaited is not None:
                self.awaited.append(awaited)
                awaited.await_body(None).addCallback(self.reached, "await_body", awaited).addErrback(self.ignore)

    def get(self, path: str) -> None:
        if self.top is not None:
            self.attempt(self.top.get, path)

    def answer(self) -> None:
        for peer in self.way.peers:
            if peer.lost is None:
                peer.answer()
        self.way.pump()

    def lose_origin(self) -> None:
        self.get("/lost")
        self.way.pump()
        for peer in self.way.peers:
            if peer.lost is None:
                peer.abort()

    def lose_proxy(self) -> None:
        self.get("/lost")
        self.way.pump()
        for connection in self.way.factories[0].connections:
            if connection.lost is None:
                connection.abort()

    def react(self, event: Any) -> None:
        stream = getattr(event, "stream", None)
        name = event.told_as
        if stream is not None and name in ("gun_response", "gun_error", "gun_data"):
            name += " of the tunnel" if isinstance(stream, gun.Tunnel) else " inside"
        self.reached(None, name, stream)

    def reached(self, result: Any, callback: str, target: Any = None) -> Any:
        if callback == self.callback and self.done < self.most:
            self.done += 1
            self.target = target
            self.action()
        return result

    def ignore(self, failure: Any) -> None:
        failure.trap(gun.GunError, Boom)

    # What is done.

    def attempt(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do it; what it refuses is refused by an exception of ours."""
        try:
            made = action(*arguments, **options)
        except gun.GunError:
            return None
        if isinstance(made, gun.Stream) and made._receiver is not None:
            self.streams.append(made)
        return made

    def cancel(self, stream: Any) -> None:
        if stream is not None and not stream.ended:
            self.cancelled.add(stream)
            stream.cancel()

    @property
    def tunnels(self) -> list[Any]:
        return [stream for stream in self.streams if isinstance(stream, gun.Tunnel) and not stream.ended]

    def do_cancel_this(self) -> None:
        self.cancel(self.target)

    def do_cancel_the_tunnel(self) -> None:
        self.cancel(self.tunnels[-1] if self.tunnels else None)

    def do_cancel_the_first_tunnel(self) -> None:
        self.cancel(self.tunnels[0] if self.tunnels else None)

    def do_shut_the_tunnel_down(self) -> None:
        for tunnel in self.tunnels[-1:]:
            tunnel.shutdown()

    def do_close(self) -> None:
        self.conn.close()

    def do_shutdown(self) -> None:
        self.conn.shutdown()

    def do_lose_owner(self) -> None:
        self.attempt(self.conn.set_owner, None)

    def do_get(self) -> None:
        self.get("/again")

    def do_get_of_the_connection(self) -> None:
        self.attempt(self.conn.get, "/again")

    def do_post(self) -> None:
        if self.top is not None:
            self.attempt(self.top.post, "/again", (), b"x" * 100_000)

    def do_connect(self) -> None:
        self.attempt(self.conn.connect, self.way.destination(len(self.way.proxies)))

    def do_connect_in_the_tunnel(self) -> None:
        for tunnel in self.tunnels[-1:]:
            self.attempt(tunnel.connect, self.way.destination(len(self.way.proxies)))

    def do_ws_upgrade(self) -> None:
        if self.top is not None:
            self.attempt(self.top.ws_upgrade, "/")

    def do_ping(self) -> None:
        for pinged in (self.conn, *self.tunnels[-1:]):
            ping = self.attempt(pinged.ping)
            if ping is not None:
                ping.addErrback(self.ignore)

    def do_look_at_all(self) -> None:
        self.conn.info()
        self.conn.flush()
        for stream in self.streams:
            stream.info()
            stream.flush()
            stream.update_flow(1)
            self.attempt(stream.data, b"more")

    def do_lose_it_all(self) -> None:
        for connection in self.way.factories[0].connections:
            if connection.lost is None:
                connection.abort()

    def do_raise(self) -> None:
        raise Boom


CALLBACKS = (
    "gun_up",
    "gun_down",
    "gun_tunnel_up",
    "gun_response of the tunnel",
    "gun_error of the tunnel",
    "gun_response inside",
    "gun_data inside",
    "gun_error inside",
    "await_up",
    "await_up of the tunnel",
    "await_body",
)
ACTIONS = tuple(name.removeprefix("do_") for name in vars(Life) if name.startswith("do_"))
#: What is the Deferred's, and not logged.
DEFERREDS = ("await_up", "await_up of the tunnel", "await_body")


#: Those that end what they are called from.
ENDING = ("cancel_the_tunnel", "close", "shutdown", "lose_it_all")
#: The ways that lives take turns on; those with an action that ends something are on two each.
TURNS = (
    ("Http", "http"),
    ("Http2", "h2"),
    ("HttpInHttp2", "http"),
    ("SocksInHttp2", "h2c"),
    ("Http2InHttp", "https"),
    ("HttpInSocks", "https"),
)


class ReentrancyTests(TunnelCase):
    """Whatever is asked for is done, in order, and harms nobody."""

    ways = ()

    def check(self, way: str, origin: str, callback: str, action: str, most: int) -> None:
        """One life, with one action in one callback."""
        life = Life(lambda **options: Way(WAYS[way], origin, **options), callback, action, most)
        life.play()
        self.assertTrue(1 <= life.done <= most, f"{callback} happened {life.done} times")
        logged = [type(failure.value) for failure in self.flushLoggedErrors()]
        raised = life.done if action == "raise" and callback not in DEFERREDS else 0
        self.assertEqual(logged, [Boom] * raised)
        self.assert_told_in_order(life.told)
        for down in life.told.of(gun.Down):
            listed = [*down.killed_streams, *down.unprocessed_streams]
            self.assertEqual(len(set(listed)), len(listed))
            self.assertLessEqual(set(listed), {*life.streams, *life.awaited})
        for stream in life.streams:
            ends = [event for event in life.told.events if getattr(event, "stream", None) is stream and event.fin]
            self.assertEqual(len(ends), 0 if stream in life.cancelled else 1, stream)
        for stream in (*life.streams, *life.awaited):
            self.assertTrue(stream.ended)
        self.assert_left_nothing(life.way)


def _add(turn: int, callback: str, action: str, most: int) -> None:
    way, origin = TURNS[turn % len(TURNS)]

    def test(self: ReentrancyTests) -> None:
        self.check(way, origin, callback, action, most)

    words = f"{callback}: {action.replace('_', ' ')}, {'once' if most == 1 else 'again and again'}"
    test.__doc__ = f"From {way} to {origin}, in {words}."
    setattr(ReentrancyTests, f"test_{callback}_{action}_{way}_{origin}{'_always' if most > 1 else ''}".replace(" ", "_"), test)


for _at, _callback in enumerate(CALLBACKS):
    for _number, _action in enumerate(ACTIONS):
        for _turn in range(2 if _action in ENDING else 1):
            _add(_at + _number + _turn, _callback, _action, 1 if (_at + _turn) % 2 else 50)


class UpTests(TunnelCase):
    """Ends from within `gun_tunnel_up`, at whichever of them: TLS may be in the midst of its own handshake, just beneath."""

    origins = ("https", "h2", "raws")

    def check(self, act: Callable[[Way], object]) -> None:
        """Do this at the first, the second and so on."""
        for number in range(len(self.proxies)):
            self.check_at(number, act)

    def check_at(self, number: int, act: Callable[[Way], object]) -> None:
        ups: list[Any] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.TunnelUp):
                ups.append(event)
                if len(ups) == number + 1:
                    act(way)

        told = RecordingReceiver(react)
        way = self.way(owner=told, reply_to=told, retry_timeout=60.0, retry=1)
        top = way.ask()
        streams = [top.get("/")] if self.spoken != "raw" else []
        way.pump()
        self.assertEqual(len(ups), number + 1)
        way.connection.close()
        way.pump()
        for stream in (*streams, *way.tunnels):
            self.assertTrue(stream.ended)
        self.assert_told_in_order(told)
        self.assert_left_nothing(way)

    def test_close(self) -> None:
        """close()."""
        self.check(lambda way: way.connection.close())

    def test_close_and_cancel(self) -> None:
        """cancel() of all tunnels, the innermost first, then close()."""

        def act(way: Way) -> None:
            for tunnel in reversed(way.tunnels):
                tunnel.cancel()
            way.connection.close()

        self.check(act)

    def test_lose_owner(self) -> None:
        """shutdown(), for the owner is gone."""
        self.check(lambda way: way.connection.set_owner(None))


globals().update(spread(__name__))

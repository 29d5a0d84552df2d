"""The option `trace`."""

from __future__ import annotations

from typing import Any, cast

from twisted.logger import ILogObserver, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.stage import OK, feed
from twisted_gun.net.trace import Traced, TracedAbove
from twisted_gun.observations import Connecting
from twisted_gun.observers import EventHandler
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun


class Connects(EventHandler):
    """Counts the connections."""

    told = 0

    def connect_end(self, event: Connecting) -> None:
        """One more."""
        self.told += 1


class TraceTests(SynchronousTestCase):
    """What is logged, and that nothing else changes."""

    def logged(self) -> list[Any]:
        """What is logged from now on."""
        logged: list[Any] = []
        for kind in (Traced, TracedAbove):
            self.patch(kind, "log", Logger(observer=cast(ILogObserver, logged.append)))
        return logged

    def lines(self, **options: Any) -> list[str]:
        """What is logged of a connection with one request, which its peer then ends."""
        logged = self.logged()
        world = MemoryGun(**options)
        world.pump()
        body = world.connection.get("/", {"authorization": "secret"}).await_body()
        world.pump()
        feed(world, b"HTTP/1.1 200 OK\r\nset-cookie: secret\r\ncontent-length: 2\r\n\r\n" + OK[-2:])
        self.assertEqual(self.successResultOf(body), OK[-2:])
        world.peer.close()
        world.pump()
        return [formatEvent(event) for event in logged]

    def test_on(self) -> None:
        """Each step, by the destination: dialling, the request, what came, the loss; credentials are left out."""
        lines = self.lines(trace=True)
        steps = [line.removeprefix("example.org:80: ").partition("(")[0] for line in lines]
        self.assertEqual(steps[:4], ["init", "connect_start Connecting", "connect_end Connecting", "up, http"])
        self.assertEqual(steps[4:7], ["request_start RequestHead", "request_headers RequestHead", "request_end OfStream"])
        self.assertEqual(steps[7:11], ["tell"] * 2 + ["lost, the peer closed the connection", "disconnect Disconnected"])
        self.assertIn("tell(Response(", lines[7])
        self.assertIn("tell(Data(", lines[8])
        self.assertNotIn("secret'", "".join(lines))

    def test_never_up(self) -> None:
        """Of a connection that is never there it tells each attempt, why it failed, and the end."""
        logged = self.logged()
        world = MemoryGun(trace=True, retry=1, retry_timeout=0.5)
        world.endpoint.refuse()
        world.advance(5)
        lines = [formatEvent(event) for event in logged]
        self.assertEqual(len([line for line in lines if "connect_end" in line and "error=ConnectFailed" in line]), 2)
        self.assertIn("terminate Terminated(", lines[-1])

    def test_beside_a_handler(self) -> None:
        """An event handler is told all the same, and is the one that `info` has."""
        handler = Connects()
        world = MemoryGun(trace=True, event_handler=handler)
        self.logged()
        world.pump()
        self.assertEqual(handler.told, 1)
        self.assertIs(world.connection.info().event_handler, handler)

    def test_long_data(self) -> None:
        """Of what is long the beginning is shown, and how much it is: of events, and of the bytes that a websocket's stream carries."""
        logged = self.logged()
        world = MemoryGun(trace=True, protocols=["http2"], peer=Http2WebsocketPeer)
        world.connection.ws_upgrade("/", reply_to=lambda event: None)
        world.pump()
        world.peer.end.send(f"{'x' * 1000}secret{'x' * 1000}")
        world.pump()
        world.connection.close()
        lines = [formatEvent(event) for event in logged]
        (carried,) = [line for line in lines if "tunnel_data(" in line]
        self.assertIn("... (2010 bytes))", carried)
        self.assertIn("x" * 32, carried)
        self.assertTrue([line for line in lines if "tell(Ws(" in line])
        self.assertNotIn("secret", "".join(lines))
        self.assertLess(max(map(len, lines)), 400)

    def test_off(self) -> None:
        """Nothing is logged unless asked for."""
        self.assertEqual(self.lines(), [])

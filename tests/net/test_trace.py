"""The option `trace`."""

from __future__ import annotations

from typing import Any, cast

from twisted.logger import ILogObserver, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.stage import OK, feed
from twisted_gun.net.trace import Traced
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun


class TraceTests(SynchronousTestCase):
    """What is logged, and that nothing else changes."""

    def logged(self) -> list[Any]:
        """What is logged from now on."""
        logged: list[Any] = []
        self.patch(Traced, "log", Logger(observer=cast(ILogObserver, logged.append)))
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
        """Up, each event, and the loss, by the destination; credentials are left out."""
        lines = self.lines(trace=True)
        self.assertEqual(lines[0], "example.org:80: up, http")
        self.assertIn("tell(Response(", lines[1])
        self.assertIn("tell(Data(", lines[2])
        self.assertIn("example.org:80: lost, the peer closed the connection", lines)
        self.assertNotIn("secret'", "".join(lines))

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

"""What a client does: rounds of requests, a websocket, or all of it by a receiver; each with its servers in memory."""

from __future__ import annotations

import random
from typing import Any

import twisted_gun as gun
from tests.gunclient.stage import WorkCase, logged_by
from tests.services import ServiceReceiver
from tests.stage import OK, answer, answering
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer, WebsocketPeer


class GetTests(WorkCase):
    """Rounds of requests."""

    def setUp(self) -> None:
        super().setUp()
        self.make_peer = lambda: ScriptedPeer(answering())

    def test_rounds(self) -> None:
        """Each path is got, one after the other, and again when it is time."""
        self.daemon(get=["/a", "/b?c"], every=10)
        self.assertEqual(self.paths, [b"/a", b"/b?c"])
        self.advance(9.9)
        self.assertEqual(len(self.paths), 2)
        self.advance(0.1)
        self.assertEqual(self.paths, [b"/a", b"/b?c"] * 2)
        self.assertEqual(len(self.peers), 1)
        of_one = ["request", "response", "data"]
        self.assertEqual(self.events, ["start", "request", "up", "response", "data", *of_one, *of_one, *of_one])
        self.assertEqual([line["path"] for line in self.of("request")], ["/a", "/b"] * 2)
        self.assertEqual([line["request"] for line in self.of("data")], [1, 2, 3, 4])

    def test_headers(self) -> None:
        """The fields that were given go along with each, and who we are unless that is given."""
        daemon = self.daemon(get=["/"], header=["X-One: 1"])
        fields = dict(self.peer.requests[0].headers)
        self.assertEqual(fields[b"x-one"], b"1")
        self.assertTrue(fields[b"user-agent"].startswith(b"twisted_gun/"))
        self.stop(daemon)
        self.daemon(get=["/"], header=["User-Agent: me"])
        self.assertEqual(dict(self.peer.requests[0].headers)[b"user-agent"], b"me")

    def test_no_overlap(self) -> None:
        """A round that takes longer than there is time for leaves out those that were due meanwhile."""
        self.make_peer = ScriptedPeer
        self.daemon(get=["/"], every=10, timeout="none")
        self.advance(35.0)
        self.assertEqual(len(self.paths), 1)
        self.send(OK)
        self.advance(4.9)
        self.assertEqual(len(self.paths), 1)
        self.advance(0.1)
        self.assertEqual(len(self.paths), 2)

    def test_waits_for_connection(self) -> None:
        """Before there is a connection there is one request, however long that takes."""
        self.endpoint.refuse()
        self.daemon(get=["/"], every=1)
        self.clock.pump([0.5] * 1000)
        self.endpoint.accept()
        self.clock.pump([0.5] * 120)
        self.assertIn(b"/", self.paths)
        before_up = self.events[: self.events.index("up")]
        self.assertEqual(before_up, ["start", "request"])

    def test_lost(self) -> None:
        """A request that was under way when the connection was lost is told as such, and the next round is made all the same."""
        self.make_peer = ScriptedPeer
        self.daemon(get=["/a", "/b"], every=10)
        self.make_peer = lambda: ScriptedPeer(answering())
        self.peer.abort()
        self.advance()
        self.advance(0.5)
        self.advance(9.5)
        self.assertEqual(len(self.of("error")), 1)
        self.assertEqual(self.paths, [b"/a", b"/b", b"/a", b"/b"])

    def test_timeouts(self) -> None:
        """A server that does not answer, or not to the end, is not waited for longer than that."""
        for begun in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"):
            self.destination.written = b""
            self.make_peer = ScriptedPeer
            daemon = self.daemon(get=["/"], every=60, timeout=5)
            self.send(begun or b"\r\n")
            self.advance(5.0)
            self.assertEqual([line["request"] for line in self.of("error") if "request" in line], [1], begun)
            self.stop(daemon)

    def test_full_output(self) -> None:
        """While the output takes nothing no round is made, and answers are held back; nothing is lost."""
        self.make_peer = ScriptedPeer
        daemon = self.daemon(get=["/"], every=10)
        self.block()
        self.send(answer(b"x" * 200_000))
        self.assertTrue(daemon._audience.full)
        self.clock.pump([1.0] * 30)
        self.assertEqual(len(self.paths), 1)
        self.destination.room = 2**30
        self.advance(1.0)
        self.assertEqual("".join(line["text"] for line in self.of("data")), "x" * 200_000)
        self.assertTrue(self.of("data")[-1]["fin"])
        self.block()
        daemon._audience.say("some")
        self.advance(10.0)
        self.assertEqual(len(self.paths), 1)
        self.assertEqual(daemon._counts.skipped, 1)
        self.destination.room = 2**30
        self.advance(10.0)
        self.assertEqual(len(self.paths), 2)

    def test_held_back(self) -> None:
        """Held back is the server: it sends no more than a window."""
        self.make_peer = ScriptedPeer
        self.daemon(get=["/"], every=100)
        self.block()
        self.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
        for _ in range(100):
            self.send(b"x" * 100_000)
        waiting = sum(len(line) for line in self.destinations_lines())
        self.assertLess(waiting, 400_000)
        self.destination.room = 2**30
        self.advance(1.0)
        self.clock.pump([0.0] * 1000)
        self.assertEqual(sum(line["size"] for line in self.of("data")), 10_000_000)

    def destinations_lines(self) -> list[bytes]:
        """What waits to be written."""
        return list(self.outputs[-1]._lines)

    @property
    def outputs(self) -> list[Any]:
        """The outputs of the daemons."""
        return [daemon._output for daemon in self.daemons]

    def test_http2(self) -> None:
        """It is the same over HTTP/2."""

        def script(peer: Http2Peer) -> None:
            for request in peer.requests:
                if request.complete and not request.answered:
                    peer.respond(request, 200, {}, request.path)

        self.make_peer = lambda: Http2Peer(script)
        self.daemon(get=["/a", "/b"], every=10, protocol="http2")
        self.advance(10.0)
        self.assertEqual([line["text"] for line in self.of("data") if line["size"]], ["/a", "/b"] * 2)

    def test_receiver_raises(self) -> None:
        """Where the user's own receiver raises, the next request is made all the same."""

        def raises(event: Any) -> None:
            if isinstance(event, gun.Response):
                raise ZeroDivisionError

        self.daemon(RecordingReceiver(raises), output="-", get=["/a", "/b"], every=10)
        self.assertEqual(self.paths, [b"/a", b"/b"])
        self.advance(10.0)
        self.assertEqual(len(self.paths), 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)

    def test_round_fails(self) -> None:
        """Whatever goes wrong with a round, the next one is made."""
        daemon: Any = self.daemon(get=["/a"], every=10)

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        patch = self.patch(daemon._work.connection, "get", broken)
        self.advance(10.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        patch.restore()
        self.advance(10.0)
        self.assertEqual(self.paths, [b"/a", b"/a"])

    def test_shutting_down(self) -> None:
        """On a connection that somebody else shuts down nothing is asked for; then there is nothing more to do."""
        self.make_peer = ScriptedPeer
        daemon: Any = self.daemon(get=["/a", "/b"], every=10)
        daemon._work.connection.shutdown()
        self.send(OK)
        self.assertEqual(self.paths, [b"/a"])
        self.advance(10.0)
        self.assertEqual(self.left, [0])

    def test_gives_up(self) -> None:
        """After so many attempts it gives up, which a receiver is told, and the process ends with status 1."""
        self.give_up(2, get=["/"])

    def test_gives_up_at_once(self) -> None:
        """One attempt may be enough."""
        self.give_up(1, get=["/"])

    def test_websocket_gives_up(self) -> None:
        """A websocket has as many attempts."""
        self.give_up(3, url="ws://a.example/")

    def give_up(self, retry: int, **options: Any) -> None:
        """What becomes of one whose server refuses every connection; why is logged once, besides the failure that came first."""
        self.endpoint.refuse()
        logged = logged_by(self)
        receiver = RecordingReceiver()
        self.daemon(receiver, output="-", retry=retry, **options)
        self.clock.pump([0.5] * 20)
        self.assertEqual((self.left, self.endpoint.attempts), ([1], retry))
        reason = self.of("finished")[0]["reason"]
        self.assertRegex(reason, f"^after {retry} failures? in a row .*refused")
        errors = [event for event in receiver.events if type(event) is gun.Error and event.stream is None]
        self.assertEqual([str(event.reason) for event in errors], [reason])
        self.assertEqual([line.startswith("given up: ") for line in logged if "refused" in line], [False, True])

    def test_lost_with_retry(self) -> None:
        """A connection that was there comes back where one attempt is allowed; even if that may fail."""
        self.daemon(get=["/"], every=10, retry=1)
        self.peer.transport.loseConnection()
        self.clock.pump([0.5] * 4)
        self.assertEqual((self.left, self.endpoint.attempts), ([], 2))
        self.endpoint.refuse()
        self.peer.transport.loseConnection()
        self.clock.pump([0.5] * 4)
        self.assertEqual((self.left, self.endpoint.attempts), ([1], 3))

    def test_stop_waits(self) -> None:
        """At the end what is under way finishes."""
        self.make_peer = ScriptedPeer
        daemon = self.daemon(get=["/a", "/b"], every=10)
        stopped = daemon.stopService()
        self.advance(1.0)
        self.assertNoResult(stopped)
        self.send(OK)
        self.successResultOf(stopped)
        self.assertEqual(self.paths, [b"/a"])
        self.assertEqual(self.events[-3:], ["response", "data", "stop"])


class WebsocketTests(WorkCase):
    """A websocket."""

    def setUp(self) -> None:
        super().setUp()
        self.make_peer = WebsocketPeer
        self.patch(random, "uniform", lambda low, high: high)

    def test_messages(self) -> None:
        """It is opened at the URL's path, what was given is sent, and each message is told."""
        daemon = self.daemon(url="ws://a.example/feed?k=v", send=["subscribe", "more"], header=["x: 1"], subprotocol=["one", "two"])
        handshake = self.peer.end.handshake
        self.assertEqual((handshake.path, handshake.protocols), (b"/feed?k=v", (b"one", b"two")))
        self.assertIn((b"x", b"1"), handshake.headers)
        self.assertEqual(self.peer.end.frames, [gun.Text("subscribe"), gun.Text("more")])
        self.peer.end.send("hello")
        self.peer.end.send(b"\xff")
        self.advance()
        self.assertEqual(self.events, ["start", "up", "request", "upgrade", "ws", "ws"])
        self.assertEqual([line.get("text") for line in self.of("ws")], ["hello", None])
        self.assertEqual(self.of("request")[0]["path"], "/feed")
        self.assertTrue(daemon._counts.up)

    def test_compress(self) -> None:
        """Compression is offered where that is wanted."""
        daemon = self.daemon(url="ws://a.example", compress=True)
        self.assertIn(b"permessage-deflate", self.peer.end.handshake.extensions)
        self.stop(daemon)
        self.daemon(url="ws://a.example")
        self.assertEqual(self.peer.end.handshake.extensions, b"")

    def test_comes_back(self) -> None:
        """After the connection was lost it is asked for again, at once where it was open for long."""
        self.daemon(url="ws://a.example", send=["subscribe"], ping="none")
        self.advance(10.0)
        self.peer.abort()
        self.advance()
        self.clock.pump([0.1] * 6)
        self.assertEqual(len(self.peers), 2)
        self.assertEqual(self.peer.end.frames, [gun.Text("subscribe")])
        self.assertEqual(self.events[-5:], ["error", "down", "up", "request", "upgrade"])

    def test_closed_by_server(self) -> None:
        """After the server has closed it, too."""
        self.daemon(url="ws://a.example", ping="none")
        self.advance(10.0)
        self.peer.end.close(1000, "bye")
        self.advance()
        self.clock.pump([0.1] * 6)
        self.assertEqual(len(self.peers), 2)
        self.assertEqual(self.of("ws")[0]["code"], 1000)

    def test_short_ones(self) -> None:
        """A server that only opens and closes is asked after waits that grow."""
        self.make_peer = lambda: WebsocketPeer([("close", 1000, "")])
        self.daemon(url="ws://a.example")
        asked = []
        for second in range(200):
            self.clock.pump([0.25] * 4)
            asked.append(len(self.of("request")))
            del second
        self.assertLess(asked[-1], 12)
        self.assertGreater(asked[-1], 5)
        gaps = [at for at in range(1, 200) if asked[at] > asked[at - 1]]
        self.assertGreater(gaps[-1] - gaps[-2], 20)

    def test_refused(self) -> None:
        """A refusal is told, and it is asked again when it is time, on whatever connection there is then."""
        self.make_peer = lambda: WebsocketPeer([("refuse", 403)])
        self.daemon(url="ws://a.example", every=30)
        self.advance()
        self.assertEqual(self.of("response")[0]["status"], 403)
        for _ in range(29):
            self.advance(1.0)
        self.assertEqual(len(self.of("request")), 1)
        self.advance(1.0)
        self.advance(1.0)
        self.assertEqual(len(self.of("request")), 2)

    def test_http2(self) -> None:
        """Over HTTP/2 it is asked for again on the same connection."""
        from twisted_gun.testing import Http2WebsocketPeer

        self.make_peer = Http2WebsocketPeer
        self.daemon(url="ws://a.example", protocol="http2", ping="none")
        self.advance(10.0)
        self.peer.end.close(1000, "bye")
        self.advance()
        self.advance()
        self.assertEqual(len(self.peers), 1)
        self.assertEqual(len(self.of("upgrade")), 2)

    def test_http2_without_websockets(self) -> None:
        """A server that speaks HTTP/2, but no websockets over it, is asked again when it is time."""
        self.make_peer = Http2Peer
        self.daemon(url="ws://a.example", protocol="http2", every=30, ping="none")
        self.clock.pump([1.0] * 100)
        self.assertEqual(len(self.peers), 1)
        self.assertEqual([line["kind"] for line in self.of("error")], ["UpgradeRefused"] * 4)

    def test_full_output(self) -> None:
        """While the output takes nothing the server is held back; then all messages are there, in order."""
        self.daemon(url="ws://a.example", ping="none")
        self.block()
        messages = [f"{number}-{'x' * 1000}" for number in range(3000)]
        for message in messages:
            self.peer.end.send(message)
        self.advance()
        daemon = self.daemons[-1]
        self.assertLess(daemon._output.waiting, 400_000)
        self.destination.room = 2**30
        self.advance(1.0)
        self.clock.pump([0.0] * 500)
        self.assertEqual([line["text"] for line in self.of("ws")], messages)

    def test_receiver_raises(self) -> None:
        """Where the user's own receiver raises, its websocket ends, and is asked for again."""
        raising = [True]

        def raises(event: Any) -> None:
            if isinstance(event, gun.Ws) and raising:
                raising.clear()
                raise ZeroDivisionError

        self.daemon(RecordingReceiver(raises), output="-", url="ws://a.example", ping="none")
        self.peer.end.send("1")
        self.advance()
        self.clock.pump([0.25] * 40)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.of("upgrade")), 2)

    def test_cannot_be_asked(self) -> None:
        """Where the connection takes no requests it is as if it were refused."""
        self.make_peer = lambda: WebsocketPeer([("refuse", 403)])
        daemon = self.daemon(url="ws://a.example", every=30)

        def refuses(*_: Any, **__: Any) -> None:
            raise gun.BadState("not now")

        patch = self.patch(daemon._work.connection, "ws_upgrade", refuses)
        self.clock.pump([1.0] * 32)
        self.assertEqual(len(self.of("request")), 1)
        patch.restore()
        self.clock.pump([1.0] * 30)
        self.assertEqual(len(self.of("request")), 2)

    def test_steady(self) -> None:
        """One that was open for ten seconds is asked for again at once, though many before it were not."""
        self.make_peer = lambda: WebsocketPeer([("close", 1000, "")])
        self.daemon(url="ws://a.example", ping="none")
        self.clock.pump([1.0] * 30)
        self.make_peer = WebsocketPeer
        self.clock.pump([1.0] * 60)
        opened = self.of("upgrade")[-1]["time"]
        count = len(self.of("request"))
        self.peer.end.close(1000, "bye")
        self.advance()
        self.clock.pump([0.1] * 10)
        self.assertEqual(len(self.of("request")), count + 1, opened)

    def test_closed_in_the_midst(self) -> None:
        """Where the user's own receiver closes a websocket that has just been opened, nothing more is sent on it."""
        closed: list[None] = []

        def closes(event: Any) -> None:
            if isinstance(event, gun.Upgrade) and not closed:
                closed.append(None)
                event.stream.ws_send(gun.Close(1000))

        self.daemon(RecordingReceiver(closes), output="-", url="ws://a.example", send=["subscribe"])
        self.assertEqual(self.peer.end.frames, [gun.Close(1000, "")])

    def test_stop(self) -> None:
        """At the end it is closed by a handshake."""
        daemon = self.daemon(url="ws://a.example")
        self.stop(daemon)
        self.assertEqual(self.peer.end.frames, [gun.Close(1001, "")])
        self.assertEqual(self.events[-2:], ["ws", "stop"])

    def test_stop_before_asked_again(self) -> None:
        """At the end nothing is asked for that was due."""
        self.make_peer = lambda: WebsocketPeer([("refuse", 403)])
        daemon = self.daemon(url="ws://a.example", every=5)
        self.stop(daemon)
        self.advance(10.0)
        self.assertEqual(len(self.of("request")), 1)


class ReceiverTests(WorkCase):
    """A receiver of one's own, without any other work."""

    def test_told(self) -> None:
        """It is told of the connection, and of the streams that it makes; lines are written where that is wanted."""
        receiver = RecordingReceiver(lambda event: isinstance(event, gun.Up) and event.connection.get("/own"))
        self.make_peer = lambda: ScriptedPeer(answering())
        self.daemon(receiver, receiver="x", output="-")
        self.assertEqual(receiver.names(), ["gun_up", "gun_response", "gun_data"])
        self.assertEqual(self.paths, [b"/own"])
        self.assertEqual(self.events, ["start", "up", "response", "data"])

    def test_service(self) -> None:
        """One that is a service is started before there is a connection, and stopped when that has ended."""
        receiver = ServiceReceiver()
        daemon = self.daemon(receiver, receiver="x")
        self.stop(daemon)
        self.assertEqual(receiver.told, ["start", "up", "stop"])

    def test_no_output(self) -> None:
        """Without any output nothing is written."""
        daemon = self.daemon(RecordingReceiver(), receiver="x")
        self.assertIsNone(daemon._output)
        self.assertEqual(self.destination.written, b"")

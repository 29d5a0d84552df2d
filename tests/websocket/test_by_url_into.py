"""Where the messages of a websocket by URL go: to a callable as `into`, or to `reply_to`."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

import twisted_gun as gun
from tests.websocket.servers import ByUrlCase, answer
from twisted_gun.testing import RecordingReceiver, WebsocketPeer
from twisted_gun.websocket.by_url import Response

HOST = ("example.org", 80)
URL = "ws://example.org/feed"


class Told:
    """An `into` that keeps the frames it is given, and answers as `answers` says, "cont" where they are used up."""

    def __init__(self, *answers: Any) -> None:
        self.frames: list[Any] = []
        self.pairs: list[Any] = []
        self.answers = list(answers)

    def __call__(self, data: Any, pair: Any) -> Any:
        kind, frames = data
        assert kind == "data"
        self.frames += frames
        self.pairs.append(pair)
        made = self.answers.pop(0) if self.answers else ("cont",)
        return made(pair) if callable(made) else (*made, pair) if isinstance(made, tuple) else made


class TalkCase(ByUrlCase):
    """A test with a server that says things."""

    def peer(self, *script: Any, **options: Any) -> None:
        """Let `WebsocketPeer` serve."""
        self.servers.serve(*HOST, lambda: WebsocketPeer(script, **options))

    def sent(self) -> list[Any]:
        """The frames that the server got."""
        return list(self.servers.peers[-1].frames)


class IntoTests(TalkCase):
    """A callable as `into`."""

    def run_into(self, into: Any, **options: Any) -> Deferred[Response]:
        got = self.servers.request(URL, into=into, **options).get()
        self.servers.advance()
        return got

    def test_messages(self) -> None:
        """It is given each message; the response comes when the server ends the websocket, whose Close is not given."""
        self.peer(("send", "a"), ("send", b"b"), ("close", 1000, "bye"))
        told = Told()
        response = self.got(self.run_into(told))
        self.assertEqual(told.frames, [gun.Text("a"), gun.Binary(b"b")])
        self.assertEqual((response.status, response.close_frame), (101, gun.Close(1000, "bye")))
        self.assert_nothing_left()

    def test_waits(self) -> None:
        """As long as the websocket is open there is no response."""
        self.peer(("send", "a"))
        told = Told()
        got = self.run_into(told)
        self.assertNoResult(got)
        self.servers.peers[0].send("b")
        self.servers.advance()
        self.assertEqual(told.frames, [gun.Text("a"), gun.Text("b")])
        self.servers.peers[0].close(1000)
        self.got(got)

    def test_cont_with_frames(self) -> None:
        """Frames that it returns are sent: a list of them, or one."""
        self.peer(("send", "a"), ("send", "b"), ("expect", b"3"), ("close",))
        self.got(self.run_into(Told(("cont", [("text", "1"), "ping"]), ("cont", b"3"))))
        self.assertEqual(self.sent()[:3], [gun.Text("1"), gun.Ping(), gun.Binary(b"3")])
        self.assert_nothing_left()

    def test_halt(self) -> None:
        """ "halt" closes; what comes then is not given to it."""
        self.peer(("send", "a"), ("send", "b"), ("expect", gun.Close), ("send", "c"), ("close",), answer_close=False)
        told = Told(("halt",))
        response = self.got(self.run_into(told))
        self.assertEqual(told.frames, [gun.Text("a")])
        self.assertEqual(self.sent(), [gun.Close()])
        self.assertEqual(response.status, 101)
        self.assert_nothing_left()

    def test_halt_with_unread_messages(self) -> None:
        """What was not given to it does not keep it from the end, however much it is."""
        self.peer(("send", "a"), *[("send", bytes(4096))] * 100)
        answered: Deferred[Any] = Deferred()
        told = Told(lambda pair: answered.addCallback(lambda _: ("halt", pair)))
        got = self.run_into(told)
        answered.callback(None)
        self.assertEqual(self.got(got).status, 101)
        self.assertEqual((told.frames, self.sent()), ([gun.Text("a")], [gun.Close()]))
        self.assert_nothing_left()

    def test_halt_with_frames(self) -> None:
        """With frames these are sent before."""
        self.peer(("send", "a"))
        self.got(self.run_into(Told(("halt", [gun.Text("bye")]))))
        self.assertEqual(self.sent(), [gun.Text("bye"), gun.Close()])

    def test_close_among_frames(self) -> None:
        """A Close among the frames is the end too."""
        self.peer(("send", "a"))
        response = self.got(self.run_into(Told(("cont", [gun.Close(1000, "enough")]))))
        self.assertEqual(self.sent(), [gun.Close(1000, "enough")])
        self.assertEqual(response.close_frame, gun.Close(1000))
        self.assert_nothing_left()

    def test_pair(self) -> None:
        """It is given request and response, and what it returns of them the next time; the response of the last pair is the result."""
        self.peer(("send", "a"), ("send", "b"), ("close",))
        other = object()
        told = Told(lambda pair: ("cont", ("kept", other)))
        got = self.run_into(told)
        (request, response), second = told.pairs
        self.assertEqual((request.url, response.status), (URL, 101))
        self.assertEqual(second, ("kept", other))
        self.assertIs(self.successResultOf(got), other)

    def test_ping(self) -> None:
        """The seed's example, which answers a ping itself, in whatever form: the server gets one pong all the same."""
        forms: list[tuple[bytes, Any]] = [(b"x", gun.Pong(b"x")), (b"x", ("pong", b"x")), (b"x", ("pong", bytearray(b"x"))), (b"", "pong")]
        for data, form in forms:
            self.peer(("send", gun.Ping(data)), ("send", "a"), ("expect", "end"), ("close",))
            pinged = Told(("cont", [form]), ("cont", [gun.Text("end")]))
            self.got(self.run_into(pinged))
            self.assertEqual(pinged.frames, [gun.Ping(data), gun.Text("a")])
            self.assertEqual(self.sent()[:2], [gun.Pong(data), gun.Text("end")])

    def test_another_pong(self) -> None:
        """A pong that answers no ping of the message is sent like any other frame."""
        self.peer(("send", gun.Ping(b"x")), ("expect", gun.Pong), ("expect", gun.Pong), ("close",))
        self.got(self.run_into(Told(("cont", [("pong", b"y")]))))
        self.assertEqual(self.sent()[:2], [gun.Pong(b"x"), gun.Pong(b"y")])

    def test_deferred(self) -> None:
        """It may answer by a Deferred, or be a coroutine function; the next message waits."""
        self.peer(("send", "a"), ("send", "b"))
        answered: Deferred[Any] = Deferred()
        told = Told(lambda pair: answered.addCallback(lambda _: ("cont", pair)), _halting)
        got = self.run_into(told)
        self.assertEqual(told.frames, [gun.Text("a")])
        answered.callback(None)
        self.got(got)
        self.assertEqual(told.frames, [gun.Text("a"), gun.Text("b")])
        self.assert_nothing_left()

    def test_raises(self) -> None:
        """What it raises is what the request fails with; the connection is closed."""
        self.peer(("send", "a"))
        self.failed(self.run_into(Told(lambda pair: 1 / 0)), ZeroDivisionError)
        self.assert_nothing_left()

    def test_nonsense(self) -> None:
        """What it returns is checked."""
        bad: list[Any] = [None, 5, "cont", [], ("cont",), ("cont", "pair"), ("stop", (1, 2)), ("cont", [], (1, 2), 3), ("cont", [], "no")]
        for nonsense in bad:
            self.peer(("send", "a"))
            self.failed(self.run_into(Told(partial(_given, nonsense))), gun.OptionError)
            self.assert_nothing_left()
        self.peer(("send", "a"))
        self.failed(self.run_into(Told(("cont", [5]))), gun.InvalidRequest)
        self.assert_nothing_left()

    def test_server_vanishes(self) -> None:
        """A websocket that ends without Close is an error, and not retried."""
        self.peer(("send", "a"), ("drop",))
        told = Told()
        self.failed(self.run_into(told), gun.StreamClosed)
        self.assertEqual((told.frames, len(self.servers.dialled)), ([gun.Text("a")], 1))
        self.assert_nothing_left()

    def test_server_ends_first(self) -> None:
        """Frames that come too late, because the server has ended it meanwhile, are no error."""
        self.peer(("send", "a"), ("close", 1001, "going"))
        answered: Deferred[Any] = Deferred()
        got = self.run_into(Told(lambda pair: answered.addCallback(lambda _: ("cont", [gun.Text("late")], pair))))
        answered.callback(None)
        self.assertEqual(self.got(got).close_frame, gun.Close(1001, "going"))
        self.assert_nothing_left()

    def test_refused(self) -> None:
        """Without a websocket it is not called."""
        self.servers.serve(*HOST, answer(403))
        told = Told()
        self.assertEqual(self.got(self.run_into(told)).status, 403)
        self.assertEqual(told.pairs, [])

    def test_cancelled(self) -> None:
        """Cancelling closes the connection; from within as well."""
        self.peer(("send", "a"))
        got = self.run_into(Told())
        got.cancel()
        self.failureResultOf(got, CancelledError)
        self.assert_nothing_left()
        sent: list[Deferred[Response]] = []

        def cancel(pair: Any) -> Any:
            sent[0].cancel()
            return "cont", [gun.Text("never")], pair

        self.peer(("send", "a"))
        sent.append(self.servers.request(URL, into=Told(cancel)).get())
        self.servers.advance()
        self.failureResultOf(sent[0], CancelledError)
        self.assertEqual(self.sent(), [])
        self.assert_nothing_left()


def _given(answer: Any, pair: Any) -> Any:
    return answer


async def _halting(pair: Any) -> Any:
    return "halt", pair


class ReplyToTests(TalkCase):
    """Option ``reply_to``."""

    def test_receiver(self) -> None:
        """A receiver is told of each message, and of the end, as `gun.Ws`."""
        self.peer(("send", "a"), ("send", b"b"), ("close", 1000, "bye"))
        receiver = RecordingReceiver()
        response = self.got(self.servers.request(URL, reply_to=receiver).get())
        self.assertEqual(receiver.names(), ["gun_ws"] * 3)
        self.assertEqual([event.frame for event in receiver.of(gun.Ws)], [gun.Text("a"), gun.Binary(b"b"), gun.Close(1000, "bye")])
        self.assertIs(receiver.events[0].stream, response.stream)
        self.assertEqual(response.close_frame, gun.Close(1000, "bye"))
        self.assert_nothing_left()

    def test_after_the_response(self) -> None:
        """The response is there before the first message is told."""
        self.peer(("send", "a"))
        order: list[Any] = []
        got = self.servers.request(URL, reply_to=lambda event: order.append(event.frame)).get()

        def arrived(response: Response) -> Response:
            order.append("response")
            return response

        response = self.got(got.addCallback(arrived))
        self.assertEqual(order, ["response", gun.Text("a")])
        response.close()
        self.assert_nothing_left()

    def test_only_the_last_attempt(self) -> None:
        """Of redirects and refusals it is told nothing."""
        self.servers.serve(*HOST, answer(302, "location: /b"), answer(403, body=b"no"))
        receiver = RecordingReceiver()
        self.assertEqual(self.got(self.servers.request(URL, reply_to=receiver).get()).body, b"no")
        self.assertEqual(receiver.events, [])

    def test_not_received(self) -> None:
        """Messages are told once: they cannot be received as well."""
        self.peer(("send", "a"))
        response = self.got(self.servers.request(URL, reply_to=RecordingReceiver()).get())
        self.failureResultOf(response.receive(), gun.BadState)
        response.close()
        self.assert_nothing_left()

    def test_server_vanishes(self) -> None:
        """The end without Close is told as `gun.Error`."""
        self.peer(("drop",))
        receiver = RecordingReceiver()
        self.got(self.servers.request(URL, reply_to=receiver).get())
        self.assertEqual(receiver.names(), ["gun_error"])
        self.assertIsInstance(receiver.events[0].reason, gun.StreamClosed)
        self.assert_nothing_left()

    def test_raises(self) -> None:
        """A receiver that raises is logged, and its websocket closed."""
        self.peer(("send", "a"), ("send", "b"))
        receiver = RecordingReceiver(react=lambda event: 1 / 0)
        self.got(self.servers.request(URL, reply_to=receiver).get())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(receiver.events), 1)
        self.assert_nothing_left()

    def test_answers(self) -> None:
        """It may send from within."""
        self.peer(("send", "a"), ("expect", "b"), ("close",))
        responses: list[Response] = []
        got = self.servers.request(URL, reply_to=lambda event: event.fin or responses[0].send_frame(("text", "b"))).get()
        got.addCallback(responses.append)
        self.servers.advance()
        self.assertEqual(self.sent()[0], gun.Text("b"))
        self.assert_nothing_left()

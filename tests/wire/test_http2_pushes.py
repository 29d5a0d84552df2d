"""Server push, where it was enabled (RFC 9113 section 8.4)."""

from __future__ import annotations

from typing import Any

from twisted_gun.events import Headers, Push

from .conversation import A, B, told
from .http2_conversation import Http2Case, Http2Conversation, named, pushed
from .http2_peer import REQUEST

URI = b"https://example.org/style.css"


def promised(method: bytes = b"GET", scheme: bytes = b"https", authority: bytes = b"example.org", path: bytes = b"/a") -> Headers:
    """The fields of a promised request."""
    return ((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path))


class PushCase(Http2Case):
    """Stream A is open, and pushes are enabled."""

    def asked(self, **options: Any) -> Http2Conversation:
        """A conversation with the open stream A, which is 1."""
        talk = self.talk(**{"enable_push": True, **options})
        talk.ask(A)
        talk.newly_sent()
        return talk


class PushTests(PushCase):
    """Promises that are accepted."""

    def test_told(self) -> None:
        """The promise is told to the stream it came on, with a stream of its own that is then told the response, like any other."""
        for padding, piece in ((None, None), (3, None), (None, 5), (2, 5)):

            def scene(talk: Http2Conversation, padding: int | None = padding, piece: int | None = piece) -> bytes:
                talk.ask(A)
                peer = talk.peer
                promise = peer.promise(1, 2, (*REQUEST, (b"accept", b"text/css")), padding=padding, piece=piece)
                response = peer.respond(2, 200, ((b"content-length", b"4"),)) + peer.data(2, b"body", True)
                return promise + peer.respond(1, fin=True) + response

            talk = self.at_every_cut(scene, enable_push=True)
            push = pushed(talk.steps)
            self.assertEqual(
                talk.outline,
                [
                    ("push", A, push, b"GET", URI, ((b"accept", b"text/css"),)),
                    ("response", A, 200, (), True),
                    ("response", push, 200, ((b"content-length", b"4"),), False),
                    ("data", push, b"body", True),
                ],
            )
            self.assertEqual(talk.newly_sent()[-1][0], "HEADERS")  # nothing more was to be said

    def test_key(self) -> None:
        """The key of the pushed stream is made of its parent's, and of its method."""
        talk = self.asked()
        for stream_id, method in ((2, b"GET"), (4, b"HEAD")):
            push = pushed(talk.receive(talk.peer.promise(1, stream_id, promised(method))))
            self.assertEqual(repr(push), f"pushed on A by {method.decode()}")

    def test_several(self) -> None:
        """A stream may push many, as long as it is open: within its content, and before its head."""
        talk = self.asked()
        peer = talk.peer
        first = pushed(talk.receive(peer.promise(1, 2)))
        talk.receive(peer.respond(1), peer.data(1, b"a"))
        second = pushed(talk.receive(peer.promise(1, 8)))
        steps = talk.receive(peer.respond(8, fin=True), peer.data(1, b"", True), peer.respond(2, 404, fin=True))
        expected = [("response", second, 200, (), True), ("data", A, b"", True), ("response", first, 404, (), True)]
        self.assertEqual(told(steps), expected)

    def test_responses(self) -> None:
        """Interim responses, trailers, and responses without content are as they are for others; to HEAD there is no content."""
        talk = self.asked()
        peer = talk.peer
        push = pushed(talk.receive(peer.promise(1, 2)))
        talk.steps.clear()
        talk.receive(peer.respond(2, 103), peer.respond(2, 100), peer.respond(2), peer.data(2, b"a"), peer.trailers(2))
        self.assertEqual(
            [entry[:2] for entry in talk.outline], [(kind, push) for kind in ("inform", "inform", "response", "data", "trailers")]
        )
        head = pushed(talk.receive(peer.promise(1, 4, promised(b"HEAD"))))
        steps = talk.receive(peer.respond(4, 200, ((b"content-length", b"100"),), fin=True))
        self.assertEqual(told(steps), [("response", head, 200, ((b"content-length", b"100"),), True)])

    def test_uri(self) -> None:
        """The URI is absolute, with the authority of the request the promise came on."""
        talk = self.talk(enable_push=True, scheme=b"http")
        talk.ask(A, target=b"http://other.example:81/page")
        (step,) = talk.receive(talk.peer.promise(1, 2, promised(scheme=b"http", authority=b"other.example:81", path=b"/a?b=c")))
        assert isinstance(step, Push)
        self.assertEqual(step.uri, b"http://other.example:81/a?b=c")

    def test_same_twice(self) -> None:
        """The same promise again is another stream."""
        talk = self.asked()
        first, second = (pushed(talk.receive(talk.peer.promise(1, stream_id))) for stream_id in (2, 4))
        steps = talk.receive(talk.peer.respond(4, fin=True), talk.peer.respond(2, fin=True))
        self.assertEqual(named(told(steps)), named([("response", second, 200, (), True), ("response", first, 200, (), True)]))
        self.assertIsNot(first, second)

    def test_flow(self) -> None:
        """A pushed stream has the flow its parent had at first, its own hold, and a window of its own."""
        talk = self.talk(enable_push=True, initial_stream_window_size=100, stream_window_margin_size=0)
        talk.ask(A, flow=2)
        peer = talk.peer
        talk.receive(peer.respond(1), peer.data(1, b"a"))
        push = pushed(talk.receive(peer.promise(1, 2)))
        talk.newly_sent()
        steps = talk.receive(peer.respond(2), peer.data(2, b"x" * 10), peer.data(2, b"y" * 10), peer.data(2, b"z" * 80))
        self.assertEqual(b"".join(entry[2] for entry in told(steps) if entry[0] == "data"), b"x" * 10 + b"y" * 10)
        self.assertEqual(talk.newly_sent(), [])
        self.assertEqual(told(talk.update_flow(push, 1)), [("data", push, b"z" * 80, False)])
        self.assertEqual(talk.newly_sent(), [])
        talk.update_flow(push, 1)
        self.assertEqual(talk.newly_sent(), [("WINDOW_UPDATE", 2, 100)])

    def test_no_upload(self) -> None:
        """There is no request to send content of."""
        talk = self.asked()
        push = pushed(talk.receive(talk.peer.promise(1, 2)))
        self.assertEqual((talk.send(push, b"x", fin=True), talk.newly_sent()), ([], []))

    def test_window_of_a_pushed_stream(self) -> None:
        """What the server says of the window nothing is sent in changes nothing, once the stream is no longer reserved."""
        talk = self.asked()
        talk.receive(talk.peer.promise(1, 2), talk.peer.respond(2, 103))
        self.assertEqual(talk.receive(talk.peer.window(2, 100)), [])


class PushEndTests(PushCase):
    """Pushed streams that do not come to their end."""

    def test_cancelled(self) -> None:
        """Who does not want it cancels it, before it begins or later; what still comes of it is nothing."""
        for begun in (False, True):
            talk = self.asked()
            peer = talk.peer
            push = pushed(talk.receive(peer.promise(1, 2)))
            head = peer.respond(2)
            if begun:
                talk.receive(head)
            talk.cancel(push)
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, "CANCEL")])
            self.assertEqual(talk.receive(b"" if begun else head, peer.data(2, b"late", True)), [])
            self.assertEqual(told(talk.receive(peer.respond(1, fin=True))), [("response", A, 200, (), True)])

    def test_reset(self) -> None:
        """The server may give it up, or say that it refuses its own promise."""
        for code, error in ((8, "StreamReset(8)"), (7, "StreamRefused")):
            talk = self.asked()
            push = pushed(talk.receive(talk.peer.promise(1, 2)))
            self.assertEqual(told(talk.receive(talk.peer.reset(2, code))), [("failed", push, error)])

    def test_malformed(self) -> None:
        """A malformed response ends the pushed stream, and no other."""
        talk = self.asked()
        peer = talk.peer
        push = pushed(talk.receive(peer.promise(1, 2)))
        self.assertEqual(told(talk.receive(peer.respond(2, 103), peer.data(2, b"x")))[1:], [("failed", push, "ProtocolViolation")])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, "PROTOCOL_ERROR")])
        self.assertEqual(told(talk.receive(peer.respond(1, fin=True))), [("response", A, 200, (), True)])

    def test_lost(self) -> None:
        """With the connection it ends as others do."""
        talk = self.asked()
        push = pushed(talk.receive(talk.peer.promise(1, 2)))
        self.assertEqual(told(talk.lose()), [("failed", A, "StreamClosed"), ("failed", push, "StreamClosed")])
        self.assertEqual(talk.core.losses().killed, (A, push))

    def test_parent_ends(self) -> None:
        """It does not end with the stream it was promised on, be that cancelled."""
        talk = self.asked()
        push = pushed(talk.receive(talk.peer.promise(1, 2)))
        talk.cancel(A)
        self.assertEqual(told(talk.receive(talk.peer.respond(2, fin=True))), [("response", push, 200, (), True)])

    def test_goaway(self) -> None:
        """A server that goes away speaks of our streams: what it has promised still comes, and the connection stays for it."""
        talk = self.asked()
        push = pushed(talk.receive(talk.peer.promise(1, 2)))
        talk.newly_sent()
        self.assertEqual(told(talk.receive(talk.peer.goaway(0))), [("failed", A, "GoAway(0, 0)")])
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 2, "NO_ERROR")])
        self.assertEqual(told(talk.receive(talk.peer.respond(2, fin=True))), [("response", push, 200, (), True), ("close", None)])

    def test_shutdown(self) -> None:
        """`shutdown` waits for it, too; and what is promised later is refused."""
        talk = self.asked()
        push = pushed(talk.receive(talk.peer.promise(1, 2)))
        talk.shutdown()
        self.assertEqual(told(talk.receive(talk.peer.promise(1, 4), talk.peer.respond(1, fin=True))), [("response", A, 200, (), True)])
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 2, "NO_ERROR"), ("RST_STREAM", 4, "CANCEL")])
        self.assertEqual(told(talk.receive(talk.peer.respond(2, fin=True))), [("response", push, 200, (), True), ("close", None)])


class RefusedPushTests(PushCase):
    """Promises that are not accepted; nobody is told of them."""

    def refused(self, fields: Headers, code: str = "PROTOCOL_ERROR", **options: Any) -> None:
        """A promise of `fields` is refused; others are not hurt, and what comes of it all the same is nothing."""
        talk = self.asked(**options)
        peer = talk.peer
        self.assertEqual(told(talk.receive(peer.promise(1, 2, fields))), [])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, code)], fields)
        self.assertEqual(talk.receive(peer.respond(2, 200, ((b"x", b"y"),)), peer.data(2, b"late", True)), [])
        self.assertEqual(told(talk.receive(peer.respond(1, 200, ((b"x", b"y"),), fin=True)))[0][0], "response")

    def test_another_origin(self) -> None:
        """The server speaks for the origin of the request, and no other is known."""
        for fields in (promised(authority=b"evil.example"), promised(authority=b"example.org:444"), promised(scheme=b"http")):
            self.refused(fields)

    def test_method(self) -> None:
        """Only what is safe, and has no content, can be pushed."""
        for method in (b"POST", b"DELETE", b"CONNECT", b"get", b"OPTIONS"):
            self.refused(promised(method))

    def test_malformed(self) -> None:
        """A promised request has its four pseudo-fields, each once and before all else, and fields that fields may be."""
        usual = promised()
        for fields in (
            (),
            usual[1:],
            usual[:3],
            (*usual, usual[0]),
            (*usual[:3], (b"x", b"y"), usual[3]),
            (*usual, (b":protocol", b"websocket")),
            promised(path=b""),
            promised(path=b"*"),
            promised(path=b"a"),
            promised(path=b"/a\nb"),
            promised(authority=b"example.org "),
            (*usual, (b"X", b"y")),
            (*usual, (b"x", b"y\r\nz: 1")),
            (*usual, (b"connection", b"close")),
            (*usual, (b"te", b"trailers")),
        ):
            self.refused(fields)

    def test_too_many_fields(self) -> None:
        """One with more fields than we allow is refused; the others can still be read."""
        self.refused((*promised(), *((b"x-%d" % number, b"y" * 50) for number in range(10))), max_header_count=5)

    def test_too_many(self) -> None:
        """Beyond `max_concurrent_streams` promises are refused, until others are through."""
        talk = self.asked(max_concurrent_streams=2)
        peer = talk.peer
        talk.receive(peer.promise(1, 2), peer.promise(1, 4), peer.promise(1, 6))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 6, "REFUSED_STREAM")])
        talk.receive(peer.respond(2, fin=True), peer.promise(1, 8), peer.promise(1, 10))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 10, "REFUSED_STREAM")])
        self.assertEqual([entry[0] for entry in talk.outline], ["push", "push", "response", "push"])
        self.refused(promised(), "REFUSED_STREAM", max_concurrent_streams=0)

    def test_requests_do_not_count(self) -> None:
        """Pushes and requests have limits of their own."""
        talk = self.asked(max_concurrent_streams=1, settings={"max_concurrent_streams": 2})
        talk.receive(talk.peer.promise(1, 2))
        self.assertEqual(told(talk.ask(B)), [])

    def test_parent_was_cancelled(self) -> None:
        """On a stream that we have reset, and the server did not know yet, nothing is promised any longer."""
        talk = self.asked()
        talk.cancel(A)
        talk.newly_sent()
        fields = (*REQUEST, (b"x-new", b"value"))
        self.assertEqual(told(talk.receive(talk.peer.promise(1, 2, fields))), [])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, "CANCEL")])
        talk.ask(B)
        self.assertEqual(told(talk.receive(talk.peer.respond(3, 200, fields[4:], fin=True)))[0][3], fields[4:])


class NoPushTests(PushCase):
    """Promises that are errors of the connection."""

    def fails(self, talk: Http2Conversation, data: bytes, code: str = "PROTOCOL_ERROR") -> None:
        """`data` ends the connection with `code`."""
        talk.newly_sent()
        talk.receive(data)
        self.assertEqual((talk.outline[-1], talk.newly_sent()[-1][2]), (("close", "ProtocolViolation"), code))

    def test_not_enabled(self) -> None:
        """As usual pushes are off, and a promise is an error (RFC 9113 section 6.6)."""
        talk = self.asked(enable_push=False)
        self.fails(talk, talk.peer.promise(1, 2))

    def test_identifiers(self) -> None:
        """A promised stream is even, new, and larger than those before it (RFC 9113 section 5.1.1)."""
        for before, promised_id in (((), 0), ((), 3), ((4,), 4), ((4,), 2)):
            talk = self.asked()
            talk.receive(*(talk.peer.promise(1, stream_id) for stream_id in before))
            self.fails(talk, talk.peer.promise(1, promised_id))

    def test_parent(self) -> None:
        """It comes on a stream of ours that was opened."""
        for parent in (0, 3, 4):
            talk = self.asked()
            self.fails(talk, talk.peer.promise(parent, 2))

    def test_too_short(self) -> None:
        """It holds an identifier at least."""
        talk = self.asked()
        self.fails(talk, talk.peer.frame(5, 4, 1, b"\0\0\0"), "FRAME_SIZE_ERROR")

    def test_on_a_pushed_stream(self) -> None:
        """A pushed stream promises nothing: "open" or "half-closed (remote)" for the server it is not (RFC 9113 section 6.6)."""
        talk = self.asked()
        talk.receive(talk.peer.promise(1, 2))
        self.fails(talk, talk.peer.promise(2, 4))

    def test_reserved(self) -> None:
        """On a stream that is reserved nothing comes before HEADERS, but its end (RFC 9113 section 5.1)."""
        for sample in ("data", "window"):
            talk = self.asked()
            talk.receive(talk.peer.promise(1, 2))
            self.fails(talk, {"data": talk.peer.data(2, b"x"), "window": talk.peer.window(2, 1)}[sample])

    def test_without_a_promise(self) -> None:
        """A response to what was never promised is one on an idle stream (RFC 9113 section 5.1)."""
        for sample in ("respond", "data", "reset", "window"):
            talk = self.asked()
            peer = talk.peer
            frames = {"respond": peer.respond(2), "data": peer.data(2, b"x"), "reset": peer.reset(2), "window": peer.window(2, 1)}
            self.fails(talk, frames[sample])

"""What a request looks like on the wire, and its content, whole or in pieces."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, SWITCHED, UPGRADE, A, B, C, Conversation, D, Key, outline
from twisted_gun.wire.core import Request
from twisted_gun.wire.steps import Write


class HeadTests(SynchronousTestCase):
    """The request line and the fields."""

    def test_get(self) -> None:
        """Without content: the request line, Host first, then the caller's fields in their order."""
        talk = Conversation()
        talk.ask(A, target=b"/a?b=c", headers=[(b"accept", b"*/*"), (b"x", b"1"), (b"accept", b"text/html")])
        self.assertEqual(talk.written, b"GET /a?b=c HTTP/1.1\r\nhost: example.org\r\naccept: */*\r\nx: 1\r\naccept: text/html\r\n\r\n")

    def test_framing(self) -> None:
        """Which fields frame the content, for each way of giving it."""
        length, chunked = b"content-length: %d\r\n", b"transfer-encoding: chunked\r\n"
        for method, body, given, expected in (
            (b"GET", b"", None, b""),
            (b"HEAD", b"", None, b""),
            (b"DELETE", b"", None, b""),
            (b"OPTIONS", b"", None, b""),
            (b"POST", b"", None, length % 0),
            (b"PUT", b"", None, length % 0),
            (b"PATCH", b"", None, length % 0),
            (b"post", b"", None, b""),  # methods are case-sensitive
            (b"GET", b"abc", None, length % 3),
            (b"POST", b"abc", None, length % 3),
            (b"POST", b"abc", 7, length % 3),  # what is there counts
            (b"POST", None, None, chunked),
            (b"GET", None, None, chunked),
            (b"POST", None, 7, length % 7),
            (b"POST", None, 0, length % 0),
            (b"GET", None, 0, b""),
        ):
            talk = Conversation()
            talk.ask(A, method, body=body, length=given)
            head = b"%b / HTTP/1.1\r\n%bhost: example.org\r\n\r\n" % (method, expected)
            self.assertEqual(talk.written, head + (body or b""), (method, body, given))

    def test_http_1_0(self) -> None:
        """The version is the one asked for; Host is sent all the same."""
        talk = Conversation(version="HTTP/1.0")
        talk.ask(A)
        self.assertEqual(talk.written, b"GET / HTTP/1.0\r\nhost: example.org\r\n\r\n")

    def test_transform_header_name(self) -> None:
        """Each name goes through `transform_header_name`, ours as well."""
        talk = Conversation(transform_header_name=bytes.title)
        talk.ask(A, b"POST", headers=[(b"x-one", b"1")], body=b"abc")
        self.assertEqual(talk.written, b"POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: example.org\r\nX-One: 1\r\n\r\nabc")

    def test_again(self) -> None:
        """The same request is written the same every time, whether others were in between or not."""
        fields = ((b"x", b"y"),)
        same = Request(method=b"GET", target=b"/same", authority=b"example.org", headers=fields, body=b"")
        same_upload = Request(method=b"POST", target=b"/up", authority=b"example.org", headers=fields, body=None)
        same_content = Request(method=b"POST", target=b"/in", authority=b"example.org", headers=fields, body=b"content")
        for request in (same, same_upload, same_content):
            talk = Conversation()
            writings = []
            for stream, others in ((A, 0), (B, 0), (C, 1), (D, 0)):
                start = len(talk.written)
                talk.ask_for(stream, request)
                talk.send(stream, b"hi", fin=True)
                writings.append(talk.written[start:])
                for _ in range(others):
                    talk.ask(Key("other"), target=b"/other")
            self.assertEqual(len(set(writings)), 1)
            self.assertEqual(writings[0].count(b"\r\nx: y\r\n"), 1)
            talk.receive(OK * 5)
            self.assertTrue(talk.core.accepting)

    def test_free(self) -> None:
        """It is free for one request at a time, though it takes more; not for one behind it, nor for any behind the last."""
        talk = Conversation()
        for target in (b"/first", b"/second"):
            self.assertIs(talk.core.free, target == b"/first")
            talk.ask(Key(target.decode()), target=target)
            self.assertTrue(talk.core.accepting)
        talk.receive(OK)
        self.assertFalse(talk.core.free)
        talk.receive(OK)
        self.assertTrue(talk.core.free)
        talk.ask_for(A, Request(method=b"GET", target=b"/", authority=b"a", headers=((b"connection", b"close"),), body=b""))
        talk.receive(OK)
        self.assertFalse(talk.core.free)

    def test_last_again(self) -> None:
        """A request with ``connection: close`` is the last one, also where it was sent on another connection before."""
        close = ((b"connection", b"close"),)
        last = Request(method=b"GET", target=b"/", authority=b"example.org", headers=close, body=b"")
        for _ in range(2):
            talk = Conversation()
            talk.ask_for(A, last)
            self.assertFalse(talk.core.accepting)
            self.assertEqual(outline(talk.receive(OK))[-1], ("close", None))

    def test_one_write(self) -> None:
        """A small request is one write; a large content is not copied to make it one."""
        for size, writes in ((0, 1), (65536, 1), (65537, 2)):
            talk = Conversation()
            body = bytes(size)
            steps = talk.ask(A, b"POST", body=body)
            self.assertEqual(len(steps), writes)
            self.assertTrue(talk.written.endswith(b"\r\n\r\n" + body))
        self.assertIs(steps[1].data, body)  # type: ignore[union-attr]


class ContentTests(SynchronousTestCase):
    """Content that follows its head."""

    def test_length(self) -> None:
        """With a length the pieces go out as they are."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None, length=5)
        self.assertEqual(outline(talk.send(A, b"he")), [("write", b"he")])
        self.assertEqual(outline(talk.send(A, b"llo", fin=True)), [("write", b"llo")])

    def test_chunked(self) -> None:
        """Without one each piece is a chunk, its size in hexadecimal digits, and the end is the last chunk."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        self.assertEqual(outline(talk.send(A, b"x" * 26)), [("write", b"1a\r\n" + b"x" * 26 + b"\r\n")])
        self.assertEqual(outline(talk.send(A, b"y", fin=True)), [("write", b"1\r\ny\r\n0\r\n\r\n")])

    def test_no_data_is_no_chunk(self) -> None:
        """A chunk without data would be the last one: no data is sent as nothing."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        self.assertEqual(talk.send(A, b""), [])
        self.assertEqual(outline(talk.send(A, b"", fin=True)), [("write", b"0\r\n\r\n")])

    def test_no_content_of_known_length(self) -> None:
        """Nothing is written for the end of content whose length was said."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None, length=0)
        self.assertEqual(talk.send(A, b"", fin=True), [])

    def test_after_the_end(self) -> None:
        """Content after the end of the content, or of a stream without any, is not written."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"", fin=True)
        talk.ask(B)
        written = talk.written
        for stream in (A, B, C):
            self.assertEqual(talk.send(stream, b"more", fin=True), [])
        self.assertEqual(talk.written, written)


class QueueTests(SynchronousTestCase):
    """Requests behind one whose content is not all there yet."""

    def asked(self) -> Conversation:
        """A is being uploaded, B has content to follow, C is complete."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        self.assertEqual(outline(talk.ask(B, b"PUT", body=None, length=4)), [("pause upload", B)])
        self.assertEqual(talk.ask(C), [])
        return talk

    def test_order(self) -> None:
        """Each is written when those before it have been, its upload resumed; the responses come in that order."""
        talk = self.asked()
        b_head = b"PUT / HTTP/1.1\r\ncontent-length: 4\r\nhost: example.org\r\n\r\n"
        c_head = b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n"
        self.assertEqual(outline(talk.send(A, b"", fin=True)), [("write", b"0\r\n\r\n"), ("write", b_head), ("resume upload", B)])
        self.assertEqual(outline(talk.send(B, b"bbbb", fin=True)), [("write", b"bbbb"), ("write", c_head)])
        talk.receive(OK * 3)
        self.assertEqual([entry[1] for entry in talk.outline if entry[0] == "response"], [A, B, C])

    def test_content_given_early(self) -> None:
        """Content given to a request that waits is kept, and written behind its head."""
        talk = self.asked()
        self.assertEqual(talk.send(B, b"bb"), [])
        self.assertEqual(talk.send(B, b"bb", fin=True), [])
        written = b"".join(step.data for step in talk.send(A, b"a", fin=True) if isinstance(step, Write))
        self.assertEqual([written.count(mark) for mark in (b"PUT", b"bbbb", b"GET")], [1, 1, 1])
        self.assertLess(written.index(b"bbbb"), written.index(b"GET"))
        self.assertEqual(talk.written.count(b"host:"), 3)

    def test_several_uploads(self) -> None:
        """Uploads wait for one another, however many there are."""
        talk = self.asked()
        talk.send(A, b"", fin=True)
        self.assertEqual(talk.send(C, b"not an upload"), [])
        self.assertNotIn(b"GET", talk.written)
        talk.send(B, b"bbbb", fin=True)
        self.assertIn(b"GET", talk.written)

    def test_cancelled_while_waiting(self) -> None:
        """A request cancelled before it was written is never written, and the others do not mind."""
        for stream, other in ((B, C), (C, B)):
            talk = self.asked()
            self.assertEqual(talk.cancel(stream), [])
            self.assertEqual(talk.send(stream, b"late", fin=True), [])
            talk.send(A, b"", fin=True)
            if other is B:
                talk.send(B, b"bbbb", fin=True)
            self.assertEqual([method in talk.written for method in (b"PUT", b"GET")], [other is B, other is C])
            self.assertTrue(talk.core.accepting)
            talk.receive(OK * 2)
            self.assertEqual([entry[1] for entry in talk.outline if entry[0] == "response"], [A, other])

    def test_waiting_behind_the_last(self) -> None:
        """What waits behind a request with ``connection: close`` is refused when the connection ends."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None, headers=[(b"connection", b"close")])
        talk.ask(B)
        talk.send(A, b"", fin=True)
        self.assertNotIn(b"GET", talk.written)
        talk.receive(OK)
        self.assertEqual(talk.outline[-2:], [("failed", B, "StreamRefused"), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (B,))


class UpgradedContentTests(SynchronousTestCase):
    """What is sent after a switch of protocols."""

    def test_raw(self) -> None:
        """Bytes go out as they are, whatever framed the request."""
        talk = Conversation()
        talk.ask(A, b"POST", headers=UPGRADE, body=None)
        talk.send(A, b"content", fin=True)
        talk.receive(SWITCHED)
        self.assertEqual(outline(talk.send(A, b"echo this")), [("write", b"echo this")])

    def test_fin(self) -> None:
        """HTTP/1.1 cannot close one half of an upgraded connection: `fin` leaves it open."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(SWITCHED)
        self.assertEqual(outline(talk.send(A, b"last", fin=True)), [("write", b"last")])
        self.assertEqual(outline(talk.receive(b"answer")), [("tunnel", A, b"answer")])

    def test_others(self) -> None:
        """Nobody else's content gets onto an upgraded connection."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(SWITCHED)
        self.assertEqual(talk.send(B, b"what"), [])


class EarlyAnswerTests(SynchronousTestCase):
    """A final response before the request was sent whole."""

    def test_response_then_close(self) -> None:
        """The response is told whole; then the connection is closed, for what is left of the request cannot be told from the next."""
        for answer in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            talk = Conversation()
            talk.ask(A, b"POST", body=None)
            talk.send(A, b"some")
            talk.ask(B)
            talk.receive(answer)
            self.assertEqual(talk.outline[-3:], [("data", A, b"hello", True), ("failed", B, "StreamRefused"), ("close", None)])
            self.assertEqual(talk.core.losses().unprocessed, (B,))
            self.assertNotIn(b"GET", talk.written)
            self.assertEqual(talk.send(A, b"more", fin=True), [])

    def test_upload_goes_on(self) -> None:
        """Until the response has ended the content may still be sent; if all of it is, the connection lives on."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.receive(OK[:-2])
        self.assertEqual(outline(talk.send(A, b"rest", fin=True)), [("write", b"4\r\nrest\r\n0\r\n\r\n")])
        self.assertEqual(outline(talk.receive(OK[-2:])), [("data", A, b"lo", True)])
        self.assertTrue(talk.core.accepting)

    def test_interim(self) -> None:
        """An interim response is no reason to stop."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        self.assertEqual(outline(talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n")), [("inform", A, 100, ())])
        talk.send(A, b"rest", fin=True)
        self.assertEqual(outline(talk.receive(OK))[-1], ("data", A, b"hello", True))
        self.assertTrue(talk.core.accepting)

    def test_pipelined_behind_a_complete_one(self) -> None:
        """An upload behind a request that is complete is not disturbed by the answer to that."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B, b"POST", body=None)
        talk.receive(OK)
        self.assertTrue(talk.core.accepting)
        talk.send(B, b"", fin=True)
        talk.receive(OK)
        self.assertTrue(talk.core.accepting)

"""Responses as an HTTP/2 core tells them (RFC 9113 section 8.1), wherever they are cut."""

from __future__ import annotations

from .conversation import A, B, C, Key, told
from .http2_conversation import Http2Case, Http2Conversation

FIELDS = ((b"content-type", b"text/plain"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d"), (b"empty", b""))


class ResponseTests(Http2Case):
    """One response."""

    def test_head_only(self) -> None:
        """END_STREAM on the head: that is all."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            return talk.peer.respond(1, 200, FIELDS, fin=True)

        self.assertEqual(self.at_every_cut(scene).outline, [("response", A, 200, FIELDS, True)])

    def test_content(self) -> None:
        """Content in one frame or several; each is told as it comes, and not kept until another one does."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            return talk.peer.respond(1, 404, FIELDS) + talk.peer.data(1, b"Not ") + talk.peer.data(1, b"found", True)

        talk = self.at_every_cut(scene)
        self.assertEqual(talk.outline, [("response", A, 404, FIELDS, False), ("data", A, b"Not found", True)])
        talk = self.talk()
        talk.ask(A)
        self.assertEqual(told(talk.receive(talk.peer.respond(1))), [("response", A, 200, (), False)])
        self.assertEqual(told(talk.receive(talk.peer.data(1, b"Not "))), [("data", A, b"Not ", False)])
        self.assertEqual(told(talk.receive(talk.peer.data(1, b"found", True))), [("data", A, b"found", True)])

    def test_end_alone(self) -> None:
        """An empty DATA frame may bring END_STREAM; one without it is nothing."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            peer = talk.peer
            return peer.respond(1) + peer.data(1) + peer.data(1, b"a") + peer.data(1) + peer.data(1, fin=True)

        talk = self.at_every_cut(scene)
        self.assertEqual(talk.outline, [("response", A, 200, (), False), ("data", A, b"a", True)])

    def test_padding(self) -> None:
        """Padding is not content, on DATA and on HEADERS, even where it is all there is."""
        for padding in (0, 1, 9, 255):

            def scene(talk: Http2Conversation, padding: int = padding) -> bytes:
                talk.ask(A)
                peer = talk.peer
                head = peer.respond(1, 200, FIELDS, padding=padding)
                more = peer.data(1, b"", padding=padding) + peer.data(1, b"a", padding=padding)
                return head + more + peer.data(1, b"", True, padding=padding)

            talk = self.at_every_cut(scene) if padding != 255 else self.talk()
            if padding == 255:
                talk.receive(scene(talk))
            self.assertEqual(talk.outline, [("response", A, 200, FIELDS, False), ("data", A, b"a", True)])
            self.assertEqual(talk.peer.room[0], 8_000_000 - 1 - 3 * (padding + 1))

    def test_priority(self) -> None:
        """HEADERS may hold a priority, with padding or without; it is not obeyed (RFC 9113 section 5.3.2)."""
        for padding in (None, 3):

            def scene(talk: Http2Conversation, padding: int | None = padding) -> bytes:
                talk.ask(A)
                return talk.peer.respond(1, 200, FIELDS, fin=True, priority=True, padding=padding)

            self.assertEqual(self.at_every_cut(scene).outline, [("response", A, 200, FIELDS, True)])

    def test_continuations(self) -> None:
        """Fields may come in several frames, cut anywhere, padded or not, some of them empty."""
        for padding in (None, 2):

            def scene(talk: Http2Conversation, padding: int | None = padding) -> bytes:
                talk.ask(A)
                head = talk.peer.respond(1, 200, FIELDS[:2], piece=9, padding=padding, priority=True)
                return head + talk.peer.frame(0, 1, 1, b"content")

            talk = self.at_every_cut(scene)
            self.assertEqual(talk.outline, [("response", A, 200, FIELDS[:2], False), ("data", A, b"content", True)])

        def scene_of_empty_ones(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            block = talk.peer.encoder.encode_fields(((b":status", b"200"),))
            frame = talk.peer.frame
            return frame(1, 1, 1) + frame(9, 0, 1) + frame(9, 0, 1, block) + frame(9, 4, 1)

        self.assertEqual(self.at_every_cut(scene_of_empty_ones).outline, [("response", A, 200, (), True)])

    def test_trailers(self) -> None:
        """Fields after the content are trailers, and the end; there may be no content before them, and no fields in them."""
        trailers = ((b"x", b"y"), (b"x", b"z"))
        for content in (b"", b"content"):

            def scene(talk: Http2Conversation, content: bytes = content) -> bytes:
                talk.ask(A)
                body = talk.peer.data(1, content) if content else b""
                return talk.peer.respond(1) + body + talk.peer.trailers(1, trailers, padding=3)

            data = [("data", A, content, False)] if content else []
            self.assertEqual(self.at_every_cut(scene).outline, [("response", A, 200, (), False), *data, ("trailers", A, trailers)])

    def test_empty_trailers(self) -> None:
        """A trailer section without fields is the end, and no trailers."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            return talk.peer.respond(1) + talk.peer.data(1, b"a") + talk.peer.trailers(1, ())

        self.assertEqual(self.at_every_cut(scene).outline, [("response", A, 200, (), False), ("data", A, b"a", True)])

    def test_informational(self) -> None:
        """Interim responses come before the final one, any number of them that is allowed."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A)
            peer = talk.peer
            hints = peer.respond(1, 103, ((b"link", b"</a>"),))
            return peer.respond(1, 100) + hints + peer.respond(1, 199) + peer.respond(1, 200, fin=True)

        interim = [("inform", A, 100, ()), ("inform", A, 103, ((b"link", b"</a>"),)), ("inform", A, 199, ())]
        self.assertEqual(self.at_every_cut(scene).outline, [*interim, ("response", A, 200, (), True)])

    def test_without_content(self) -> None:
        """HEAD, 204 and 304 have no content, whatever Content-Length says; the end may come in a frame of its own."""
        length = ((b"content-length", b"100"),)
        for method, status in ((b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"HEAD", 404)):
            for fin in (True, False):

                def scene(talk: Http2Conversation, method: bytes = method, status: int = status, fin: bool = fin) -> bytes:
                    talk.ask(A, method)
                    return talk.peer.respond(1, status, length, fin=fin) + (b"" if fin else talk.peer.data(1, fin=True))

                end = [] if fin else [("data", A, b"", True)]
                self.assertEqual(self.at_every_cut(scene).outline, [("response", A, status, length, fin), *end])

    def test_content_length(self) -> None:
        """What Content-Length says is what comes, be it nothing; the same may be said twice."""
        for fields, content in (
            (((b"content-length", b"5"),), b"hello"),
            (((b"content-length", b"5"), (b"content-length", b"5")), b"hello"),
            (((b"content-length", b"0"),), b""),
        ):

            def scene(talk: Http2Conversation, fields: tuple[tuple[bytes, bytes], ...] = fields, content: bytes = content) -> bytes:
                talk.ask(A)
                return talk.peer.respond(1, 200, fields) + talk.peer.data(1, content, True)

            self.assertEqual(self.at_every_cut(scene).outline, [("response", A, 200, fields, False), ("data", A, content, True)])

    def test_too_short(self) -> None:
        """Of content that ends before its length all that came is told, then what is wrong; where it is held back, that alone."""
        for held in (False, True):
            talk = self.talk()
            talk.ask(A)
            talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"9"),)))
            if held:
                talk.hold(A, True)
            made = told(talk.receive(talk.peer.data(1, b"ab", True)))
            self.assertEqual(made[: 0 if held else 1], [] if held else [("data", A, b"ab", False)])
            self.assertEqual(made[-1][:2], ("failed", A))

    def test_content_length_and_trailers(self) -> None:
        """Trailers end the content as well as DATA does."""
        talk = self.talk()
        talk.ask(A)
        talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"2"),)), talk.peer.data(1, b"ab"), talk.peer.trailers(1))
        self.assertEqual(talk.outline[1:], [("data", A, b"ab", False), ("trailers", A, ((b"x", b"y"),))])

    def test_field_values(self) -> None:
        """Any visible byte, and blanks within, are a value; nothing is changed."""
        fields = ((b"x", b"a b\tc"), (b"y", b"\xc3\xa9\xff"), (b"a!#$%&'*+-.^_`|~0", b"1"), (b"long", b"v" * 3000))
        talk = self.talk()
        for stream_id, stream in ((1, A), (3, B)):
            talk.ask(stream)
            self.assertEqual(told(talk.receive(talk.peer.respond(stream_id, 200, fields, fin=True)))[0][3], fields)

    def test_same_head(self) -> None:
        """The same head again and again is told each time; another one is another."""
        talk = self.talk()
        for number in range(6):
            stream = Key(f"{number}")
            talk.ask(stream)
            status = 200 if number != 4 else 201
            steps = told(talk.receive(talk.peer.respond(2 * number + 1, status, FIELDS, fin=True)))
            self.assertEqual(steps, [("response", stream, status, FIELDS, True)])

    def test_same_interim_head(self) -> None:
        """An interim head that is the same bytes for two streams is told to both."""
        talk = self.talk()
        talk.ask(A)
        talk.ask(B)
        for _ in range(2):
            steps = told(talk.receive(talk.peer.respond(1, 103, FIELDS) + talk.peer.respond(3, 103, FIELDS)))
            self.assertEqual(steps, [("inform", A, 103, FIELDS), ("inform", B, 103, FIELDS)])

    def test_served(self) -> None:
        """The connection has served once a whole response has come."""
        talk = self.talk()
        talk.ask(A)
        talk.receive(talk.peer.respond(1, 100))
        self.assertFalse(talk.core.served)
        talk.receive(talk.peer.respond(1, 500))
        self.assertFalse(talk.core.served)
        talk.receive(talk.peer.data(1, b"", True))
        self.assertTrue(talk.core.served)

    def test_data_is_bytes(self) -> None:
        """What is told is bytes, however it came."""
        for pieces in (1, 3, 1000):
            talk = self.talk()
            talk.ask(A)
            talk.receive(talk.peer.respond(1))
            data = talk.peer.data(1, b"x" * 3000)
            size = len(data) // pieces
            talk.receive(*(data[at : at + size] for at in range(0, len(data), size)))
            self.assertEqual({type(entry[2]) for entry in talk.outline if entry[0] == "data"}, {bytes})


class InterleavingTests(Http2Case):
    """Several responses at once."""

    def test_in_any_order(self) -> None:
        """Streams finish in any order, and their frames come in any; each is told its own, in its order."""

        def scene(talk: Http2Conversation) -> bytes:
            for stream in (A, B, C):
                talk.ask(stream)
            peer = talk.peer
            return b"".join(
                (
                    peer.respond(5, 200, FIELDS),
                    peer.respond(1, 100),
                    peer.data(5, b"c1"),
                    peer.respond(3, 204, fin=True),
                    peer.respond(1),
                    peer.data(1, b"a1"),
                    peer.data(5, b"c2", True),
                    peer.trailers(1),
                )
            )

        self.assertEqual(
            self.at_every_cut(scene).outline,
            [
                ("response", C, 200, FIELDS, False),
                ("inform", A, 100, ()),
                ("data", C, b"c1", False),
                ("response", B, 204, (), True),
                ("response", A, 200, (), False),
                ("data", A, b"a1", False),
                ("data", C, b"c2", True),
                ("trailers", A, ((b"x", b"y"),)),
            ],
        )

    def test_many(self) -> None:
        """A hundred streams, a byte each in turn."""
        talk = self.talk()
        streams = [Key(f"stream {number}") for number in range(100)]
        for stream in streams:
            talk.ask(stream)
        ids = range(1, 200, 2)
        talk.receive(b"".join(talk.peer.respond(stream_id) for stream_id in ids))
        for letter in b"abc":
            talk.receive(b"".join(talk.peer.data(stream_id, bytes([letter]), letter == ord("c")) for stream_id in ids))
        for stream in streams:
            self.assertEqual(b"".join(entry[2] for entry in talk.outline if entry[:2] == ("data", stream)), b"abc")
        self.assertEqual(sum(entry[-1] is True for entry in talk.outline), 100)

    def test_request_while_responses_come(self) -> None:
        """A request may be sent at any time, even while a frame is half there."""
        talk = self.talk()
        talk.ask(A)
        data = talk.peer.respond(1, 200, FIELDS) + talk.peer.data(1, b"a", True)
        for at, byte in enumerate(data):
            talk.ask(Key(f"other {at}"))
            talk.receive(bytes([byte]))
        self.assertEqual(talk.outline[-2:], [("response", A, 200, FIELDS, False), ("data", A, b"a", True)])


class ResetTests(Http2Case):
    """Streams that the server ends by RST_STREAM (RFC 9113 section 6.4)."""

    def test_at_every_point(self) -> None:
        """Before, within and after the head: the stream fails with the code, its neighbour goes on."""
        for before in range(5):

            def scene(talk: Http2Conversation, before: int = before) -> bytes:
                talk.ask(A)
                talk.ask(B)
                peer = talk.peer
                pieces = [peer.respond(1, 100), peer.respond(1), peer.data(1, b"a"), peer.data(1, b"b", padding=1)]
                return b"".join(pieces[:before]) + peer.reset(1, 2) + peer.respond(3, fin=True)

            talk = self.at_every_cut(scene)
            self.assertEqual(talk.outline[-2:], [("failed", A, "StreamReset(2)"), ("response", B, 200, (), True)])
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_codes(self) -> None:
        """Any code is told, as Gun tells it; one nobody knows by its number."""
        for code, text in ((0, "NO_ERROR"), (8, "CANCEL"), (11, "ENHANCE_YOUR_CALM"), (0xDEADBEEF, "error code 0xdeadbeef")):
            talk = self.talk()
            talk.ask(A)
            (step,) = talk.receive(talk.peer.reset(1, code))
            self.assertEqual(told([step]), [("failed", A, f"StreamReset({code})")])
            self.assertEqual(str(getattr(step, "reason", None)), f"Stream reset by server. ({text})")

    def test_refused(self) -> None:
        """REFUSED_STREAM says that it was not processed (RFC 9113 section 8.7); it may be sent again."""
        talk = self.talk()
        talk.ask(A)
        talk.ask(B)
        self.assertEqual(told(talk.receive(talk.peer.reset(3, 7))), [("failed", B, "StreamRefused")])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), (B,)))

    def test_upload(self) -> None:
        """A stream that is reset sends no more, and what is given for it is dropped."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"abc")
        talk.newly_sent()
        talk.receive(talk.peer.reset(1, 8))
        self.assertEqual((talk.send(A, b"d", fin=True), talk.receive(talk.peer.window(0, 1000))), ([], []))
        self.assertEqual(talk.newly_sent(), [])

"""Requests as an HTTP/2 core sends them (RFC 9113 section 8.3.1)."""

from __future__ import annotations

import math
from typing import Any

from twisted_gun.errors import StreamRefused
from twisted_gun.wire.core import Request
from twisted_gun.wire.frames import END_HEADERS, END_STREAM, FrameType
from twisted_gun.wire.steps import StreamFailed

from .conversation import A, B, C, D, Key, told
from .http2_conversation import Http2Case

GET = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/"))


def request(**fields: Any) -> Request:
    """A request for anything."""
    return Request(**{"method": b"GET", "target": b"/", "authority": b"example.org", "headers": (), "body": b"", **fields})


class RequestFieldsTests(Http2Case):
    """What goes into HEADERS."""

    def test_get(self) -> None:
        """Pseudo-fields first, in one order; then the caller's in theirs, duplicates kept; END_STREAM where no content follows."""
        talk = self.talk()
        fields = ((b"accept", b"*/*"), (b"x", b"1"), (b"accept", b"text/html"), (b"empty", b""))
        steps = talk.ask(A, target=b"/a?b=c", headers=fields)
        self.assertEqual(talk.newly_sent(), [("HEADERS", 1, (*GET[:3], (b":path", b"/a?b=c"), *fields), True)])
        self.assertEqual((len(steps), talk.peer.raw[-1][1]), (1, END_HEADERS | END_STREAM))

    def test_scheme(self) -> None:
        """The scheme is that of the connection."""
        for scheme in (b"http", b"https"):
            talk = self.talk(scheme=scheme)
            talk.ask(A)
            self.assertIn((b":scheme", scheme), talk.newly_sent()[0][2])

    def test_authority(self) -> None:
        """:authority is what Host would be, whatever that is; Host itself is not sent."""
        talk = self.talk()
        for authority in (b"example.org:8443", b"[::1]:80", b"other.example"):
            talk.ask_for(Key("any"), request(authority=authority))
            self.assertEqual(talk.newly_sent()[0][2], (*GET[:2], (b":authority", authority), GET[3]))

    def test_target(self) -> None:
        """An absolute URL gives :authority and :path; its scheme is the connection's, user and password are not sent."""
        for target, authority, path in (
            (b"/", b"example.org", b"/"),
            (b"*", b"example.org", b"*"),
            (b"//two/slashes", b"example.org", b"//two/slashes"),
            (b"http://other.example/a?b", b"other.example", b"/a?b"),
            (b"http://other.example:81", b"other.example:81", b"/"),
            (b"http://other.example?b=/c", b"other.example", b"/?b=/c"),
            (b"https://me:pass@other.example/", b"other.example", b"/"),
            (b"/?to=http://other.example/", b"example.org", b"/?to=http://other.example/"),
        ):
            talk = self.talk()
            talk.ask(A, target=target)
            self.assertEqual(dict(talk.newly_sent()[0][2][2:]), {b":authority": authority, b":path": path}, target)

    def test_options(self) -> None:
        """An OPTIONS request for a URL without a path is for the server as a whole (RFC 9113 section 8.3.1)."""
        for target, path in ((b"*", b"*"), (b"https://other.example", b"*"), (b"https://other.example/", b"/"), (b"/a", b"/a")):
            talk = self.talk()
            talk.ask(A, b"OPTIONS", target=target)
            self.assertIn((b":path", path), talk.newly_sent()[0][2], target)

    def test_method(self) -> None:
        """Any method, as it is: they are case-sensitive."""
        talk = self.talk()
        for method in (b"HEAD", b"DELETE", b"get", b"M-SEARCH"):
            talk.ask(Key("any"), method)
            self.assertEqual(talk.newly_sent()[0][2], ((b":method", method), *GET[1:]))

    def test_fields_of_a_connection(self) -> None:
        """What HTTP/1.1 says of a connection is not sent, nor what Connection names (RFC 9113 section 8.2.2)."""
        kept = ((b"accept", b"*/*"), (b"x-kept", b"1"))
        for dropped in (
            ((b"connection", b"close"),),
            ((b"keep-alive", b"timeout=5"),),
            ((b"proxy-connection", b"keep-alive"),),
            ((b"transfer-encoding", b"chunked"),),
            ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
            ((b"http2-settings", b"AAMAAABk"), (b"connection", b"Upgrade, HTTP2-Settings")),
            ((b"x-hop", b"1"), (b"connection", b"close ,\tX-Hop,"), (b"x-other-hop", b"2"), (b"connection", b"x-other-hop")),
        ):
            talk = self.talk()
            talk.ask(A, headers=(kept[0], *dropped, kept[1]))
            self.assertEqual(talk.newly_sent()[0][2], GET + kept, dropped)

    def test_te(self) -> None:
        """TE "MUST NOT contain any value other than trailers" (RFC 9113 section 8.2.2)."""
        for value, sent in ((b"trailers", True), (b"Trailers", True), (b"gzip", False), (b"trailers, gzip", False), (b"", False)):
            talk = self.talk()
            talk.ask(A, headers=((b"te", value),))
            self.assertEqual(talk.newly_sent()[0][2], GET + (((b"te", value),) if sent else ()), value)

    def test_content(self) -> None:
        """Which length is said, and where the content begins and ends, for each way of giving it."""
        for method, body, given, length in (
            (b"GET", b"", None, None),
            (b"HEAD", b"", None, None),
            (b"OPTIONS", b"", None, None),
            (b"POST", b"", None, b"0"),
            (b"PUT", b"", None, b"0"),
            (b"PATCH", b"", None, b"0"),
            (b"post", b"", None, None),  # methods are case-sensitive
            (b"GET", b"abc", None, b"3"),
            (b"POST", b"abc", None, b"3"),
            (b"POST", b"abc", 7, b"3"),  # what is there counts
            (b"POST", None, None, None),
            (b"GET", None, None, None),
            (b"POST", None, 7, b"7"),
            (b"POST", None, 0, b"0"),
            (b"GET", None, 0, None),
        ):
            talk = self.talk()
            talk.ask(A, method, body=body, length=given, headers=((b"x", b"y"),))
            fields = ((b":method", method), *GET[1:], *(((b"content-length", length),) if length is not None else ()), (b"x", b"y"))
            content = [("DATA", 1, body, True)] if body else []
            self.assertEqual(talk.newly_sent(), [("HEADERS", 1, fields, body == b""), *content], (method, body, given))

    def test_secrets(self) -> None:
        """What is secret arrives as any other field."""
        talk = self.talk()
        secret = ((b"authorization", b"Basic Og=="), (b"cookie", b"a=b"), (b"x-long", b"v" * 5000), (b"x-other", b"\xc3\xa9"))
        for stream in (A, B):
            talk.ask(stream, headers=secret)
            self.assertEqual(talk.newly_sent()[0][2], GET + secret)

    def test_again(self) -> None:
        """The same request is the same to the server each time, though it is remembered, whatever came in between."""
        fields = ((b"x", b"y"), (b"user-agent", b"test"))
        talk = self.talk()
        for same in (
            request(headers=fields),
            request(method=b"POST", headers=fields, body=b"content"),
            request(target=b"/a", headers=fields),
        ):
            seen = []
            for number in range(8):
                talk.ask_for(Key("same"), same)
                seen.append([(frame[0], *frame[2:]) for frame in talk.newly_sent()])
                if number > 2:
                    talk.ask(Key("another"), target=b"/%d" % number, headers=((b"x", b"%d" % number),))
                    talk.newly_sent()
                if number > 5:
                    talk.receive(talk.peer.settings(header_table_size=number * 10))
                    talk.newly_sent()
            self.assertEqual(seen, [seen[0]] * 8)

    def test_other_headers(self) -> None:
        """A request that differs from the one before in its fields alone is another."""
        talk = self.talk()
        for number in range(3):
            talk.ask(Key("any"), headers=((b"x", b"%d" % number),))
            self.assertEqual(talk.newly_sent()[0][2], (*GET, (b"x", b"%d" % number)))

    def test_table_size(self) -> None:
        """The peer's table is used as far as it allows, and as we want, and not any further."""
        for most, size in ((4096, 0), (4096, 100), (4096, 65536), (0, 4096), (100_000, 65536)):
            talk = self.talk(settings={"header_table_size": size}, max_encode_table_size=most)
            for number in range(20):
                headers = ((b"x-number", b"%d" % (number // 2)), (b"x-fixed", b"fixed"))
                talk.ask(Key("any"), headers=headers)
                self.assertEqual(talk.newly_sent()[0][2], GET + headers)


class RequestFramesTests(Http2Case):
    """How a request is cut into frames, and its stream."""

    def test_streams(self) -> None:
        """Each request is a stream of its own: odd, and each more than the one before (RFC 9113 section 5.1.1)."""
        talk = self.talk()
        for stream in (A, B, C, D):
            talk.ask(stream)
        self.assertEqual([frame[1] for frame in talk.newly_sent()], [1, 3, 5, 7])

    def test_before_settings(self) -> None:
        """A client need not wait for the server's settings (RFC 9113 section 3.4)."""
        talk = self.talk(begun=False)
        talk.ask(A)
        self.assertEqual(talk.sent[-1], ("HEADERS", 1, GET, True))

    def test_continuations(self) -> None:
        """Fields longer than a frame go on in CONTINUATION frames, of any size the peer allows and we want."""
        for theirs, ours, size in ((16_384, None, 16_384), (20_000, None, 20_000), (20_000, 16_384, 16_384), (16_384, 100_000, 16_384)):
            talk = self.talk(settings={"max_frame_size": theirs}, max_frame_size_sent=ours)
            start = len(talk.peer.raw)
            fields = tuple((b"x-%d" % number, b"\x7f" * 4000) for number in range(12))
            talk.ask(A, b"POST", headers=fields, body=b"abc")
            headers, *more, last, data = talk.peer.raw[start:]
            self.assertEqual(talk.newly_sent()[0][2][5:], fields)
            self.assertEqual((headers[:3], len(headers[3])), ((FrameType.HEADERS, 0, 1), size))
            self.assertEqual({(*frame[:3], len(frame[3])) for frame in more}, {(FrameType.CONTINUATION, 0, 1, size)})
            self.assertEqual(last[:3], (FrameType.CONTINUATION, END_HEADERS, 1))
            self.assertEqual(data, (FrameType.DATA, END_STREAM, 1, b"abc"))

    def test_exactly_a_frame(self) -> None:
        """Fields that just fit a frame need no other, and those a byte longer do."""
        talk = self.talk(max_encode_table_size=0)  # and "X" takes eight bits, with Huffman's code or without
        for stream in (A, B):  # the first also says how much of the peer's table is used
            talk.ask(stream, headers=((b"x", b"X" * 16_000),))
        extra = 16_384 - len(talk.peer.raw[-1][3])
        for longer, kinds in ((0, [FrameType.HEADERS]), (1, [FrameType.HEADERS, FrameType.CONTINUATION])):
            start = len(talk.peer.raw)
            talk.ask(Key("any"), headers=((b"x", b"X" * (16_000 + extra + longer)),))
            self.assertEqual([frame[0] for frame in talk.peer.raw[start:]], kinds)
            self.assertEqual(talk.peer.raw[start][1], END_STREAM | (0 if longer else END_HEADERS))

    def test_flow(self) -> None:
        """A request may say that it knows no limit, whatever is usual."""
        talk = self.talk(flow=1)
        talk.ask_for(A, request(flow=math.inf))
        talk.ask_for(B, request())
        for stream_id in (1, 3):
            talk.receive(talk.peer.respond(stream_id), talk.peer.data(stream_id, b"a"), talk.peer.data(stream_id, b"b"))
        self.assertEqual([entry[2] for entry in talk.outline if entry[0] == "data"], [b"ab", b"a"])


class ConcurrencyTests(Http2Case):
    """How many streams are open at once (RFC 9113 section 5.1.2)."""

    def test_refused(self) -> None:
        """Beyond the peer's limit a request fails at once, with Gun's text, nothing is sent, and it may be sent again."""
        talk = self.talk(settings={"max_concurrent_streams": 2})
        talk.ask(A)
        talk.ask(B)
        talk.newly_sent()
        self.assertTrue(talk.core.accepting)
        (failed,) = talk.ask(C)
        assert isinstance(failed, StreamFailed)
        self.assertIsInstance(failed.reason, StreamRefused)
        self.assertEqual((failed.stream, str(failed.reason)), (C, "Maximum concurrency limit has been reached."))
        self.assertEqual((talk.newly_sent(), talk.core.losses().unprocessed), ([], (C,)))
        talk.receive(talk.peer.respond(1, fin=True))
        talk.ask(D)
        self.assertEqual(talk.newly_sent()[0][1], 5)

    def test_none(self) -> None:
        """A server that wants no streams for now gets none."""
        talk = self.talk(settings={"max_concurrent_streams": 0})
        self.assertEqual(told(talk.ask(A)), [("failed", A, "StreamRefused")])
        talk.receive(talk.peer.settings(max_concurrent_streams=1))
        self.assertEqual(told(talk.ask(B)), [])

    def test_waiting(self) -> None:
        """With `max_waiting` a request is only taken where there is room, and it is said when there is again."""
        talk = self.talk(settings={"max_concurrent_streams": 2}, max_waiting=10)
        talk.ask(A)
        self.assertTrue(talk.core.accepting)
        talk.ask(B)
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True))), [("response", A, 200, (), True), ("accepting",)])
        self.assertTrue(talk.core.accepting)
        talk.ask(C)
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.reset(3))), [("failed", B, "StreamReset(8)"), ("accepting",)])
        talk.ask(D)
        self.assertEqual(told(talk.cancel(C)), [("accepting",)])
        self.assertTrue(talk.core.accepting)

    def test_free(self) -> None:
        """It is free as long as the server is known to allow one more: not before its SETTINGS, and not while it is going away."""
        talk = self.talk(begun=False)
        self.assertEqual((talk.core.accepting, talk.core.free), (True, False))
        talk.receive(talk.peer.settings(max_concurrent_streams=1))
        self.assertTrue(talk.core.free)
        talk.ask(A)
        self.assertFalse(talk.core.free)
        talk.receive(talk.peer.respond(1, fin=True))
        self.assertTrue(talk.core.free)
        talk.receive(talk.peer.goaway(1))
        self.assertFalse(talk.core.free)

    def test_limit_moves(self) -> None:
        """A later limit holds for later requests; streams beyond it go on."""
        talk = self.talk(settings={"max_concurrent_streams": 3}, max_waiting=10)
        for stream in (A, B, C):
            talk.ask(stream)
        self.assertEqual(told(talk.receive(talk.peer.settings(max_concurrent_streams=1))), [])
        self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True), talk.peer.respond(3, fin=True)))[-1][0], "response")
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.settings(max_concurrent_streams=2))), [("accepting",)])
        self.assertEqual(told(talk.receive(talk.peer.settings(initial_window_size=1))), [("accepting",)])
        self.assertEqual(told(talk.receive(talk.peer.respond(5, fin=True))), [("response", C, 200, (), True)])
        refusals = [told(talk.ask(Key(f"{number}"))) for number in range(3)]
        self.assertEqual([len(steps) for steps in refusals], [0, 0, 1], "settings that do not name the limit leave it as it is")

    def test_max_streams(self) -> None:
        """`max_streams` is ours, where the peer allows more, or does not say."""
        for settings in ({"max_concurrent_streams": 100}, {}):
            talk = self.talk(settings=settings, max_streams=2)
            talk.ask(A)
            talk.ask(B)
            self.assertEqual(told(talk.ask(C)), [("failed", C, "StreamRefused")])

    def test_before_settings(self) -> None:
        """Before the server has said how many it wants 100 are sent, and others wait: it will say soon."""
        talk = self.talk(begun=False)
        for number in range(100):
            self.assertTrue(talk.core.accepting)
            talk.ask(Key(f"stream {number}"))
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.settings(max_concurrent_streams=101))), [("accepting",)])
        self.assertEqual(told(talk.ask(A)), [])
        self.assertTrue(talk.core.accepting)
        self.assertEqual(told(talk.ask(B)), [("failed", B, "StreamRefused")])

    def test_before_settings_with_waiting(self) -> None:
        """With `max_waiting` they wait until there is room."""
        talk = self.talk(begun=False, max_streams=1, max_waiting=1)
        talk.ask(A)
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.settings())), [])
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True)))[-1], ("accepting",))

    def test_response_before_settings_are_known(self) -> None:
        """A stream that ends before the settings have come makes room like any other."""
        talk = self.talk(begun=False, max_streams=1)
        talk.ask(A)
        self.assertEqual((talk.core.accepting, told(talk.cancel(A)), talk.core.accepting), (False, [("accepting",)], True))

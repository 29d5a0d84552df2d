"""RFC 9113, HTTP/2, sections 7 to 10: what they ask of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from tests.certificates import ServerCreator, authority
from tests.net.handshakes import HOST, Case
from tests.rfc.rfc9113 import Rfc9113Case
from tests.wire.conversation import PROTOCOL_VIOLATION, A, B, C, Key, told
from tests.wire.http2_conversation import Http2Conversation, pushed
from tests.wire.http2_peer import REQUEST
from twisted_gun.events import Headers
from twisted_gun.wire.frames import ErrorCode, FrameType, settings

OK = (b":status", b"200")


class ErrorCodeTests(Rfc9113Case):
    """Section 7: Error Codes."""

    def test_7_unknown(self) -> None:
        """ "Unknown or unsupported error codes MUST NOT trigger any special behavior." """
        for code in (14, 0xFF, 2**32 - 1):
            talk = self.started()
            talk.receive(talk.peer.reset(1, code))
            self.assertEqual(talk.outline, [("failed", A, f"StreamReset({code})")])
            talk.receive(talk.peer.goaway(3, code))
            self.assertEqual(talk.outline[1:], [("failed", C, f"GoAway({code}, 3)")])
            talk.receive(talk.peer.respond(3, fin=True))
            self.assertEqual(talk.outline[2], ("response", B, 200, (), True))

    def test_7_cancel(self) -> None:
        """ "The endpoint uses this error code to indicate that the stream is no longer needed." """
        talk = self.started()
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])

    def test_7_calm(self) -> None:
        """ "The endpoint detected that its peer is exhibiting a behavior that might be generating excessive load." """
        talk = self.started()
        talk.receive(talk.peer.ping() * 2000)
        self.assertEqual(talk.newly_sent()[-1], ("GOAWAY", 0, "ENHANCE_YOUR_CALM"))

    def test_7_no_error(self) -> None:
        """ "a GOAWAY might include this code to indicate graceful shutdown of a connection." """
        talk = self.talk()
        talk.ask(Key("last"))
        talk.newly_sent()
        talk.shutdown()
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "NO_ERROR")])


class FramingTests(Rfc9113Case):
    """Section 8.1: HTTP Message Framing."""

    def test_8_1_one_stream(self) -> None:
        """ "A client sends an HTTP request on a new stream, using a previously unused stream identifier" """
        talk = self.talk()
        for at in range(5):
            talk.ask(Key(f"stream {at}"))
            talk.receive(talk.peer.respond(2 * at + 1, fin=True))
        self.assertEqual([frame[1] for frame in talk.newly_sent()], [1, 3, 5, 7, 9])

    def test_8_1_request(self) -> None:
        """ "one HEADERS frame (followed by zero or more CONTINUATION frames)", "zero or more DATA frames": END_STREAM is on the last."""
        for body, ends in ((b"", [True]), (b"x" * 20_000, [False, False, True])):
            talk = self.talk()
            talk.ask(A, b"POST", body=body)
            self.assertEqual([frame[3] for frame in talk.newly_sent()], ends)

    def test_8_1_interim(self) -> None:
        """ "a server MAY send any number of interim responses before the HEADERS frame containing a final response." """
        talk = self.started()
        talk.receive(talk.peer.respond(1, 100), talk.peer.respond(1, 103, ((b"link", b"</a>"),)), talk.peer.respond(1, fin=True))
        told_of_it = [("inform", A, 100, ()), ("inform", A, 103, ((b"link", b"</a>"),)), ("response", A, 200, (), True)]
        self.assertEqual(talk.outline, told_of_it)

    def test_8_1_interim_with_end(self) -> None:
        """ "A HEADERS frame with the END_STREAM flag set that carries an informational status code is malformed (Section 8.1.1)." """
        for status in (100, 103, 199):
            self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.respond(1, status, fin=True))

    def test_8_1_trailers(self) -> None:
        """ "trailer fields comprise a sequence starting with a HEADERS frame, followed by zero or more CONTINUATION frames, where the
        HEADERS frame bears an END_STREAM flag."
        """
        for piece in (None, 3):
            talk = self.started()
            talk.receive(talk.peer.respond(1), talk.peer.data(1, b"hello"), talk.peer.trailers(1, ((b"x", b"y"),), piece=piece))
            self.assertEqual(talk.outline[1:], [("data", A, b"hello", False), ("trailers", A, ((b"x", b"y"),))])

    def test_8_1_trailers_with_pseudo_fields(self) -> None:
        """ "An endpoint that receives pseudo-header fields in trailers MUST treat the request or response as malformed" """
        for field in (OK, (b":path", b"/"), (b":x", b"y")):
            talk = self.started()
            talk.receive(talk.peer.respond(1))
            self.assert_stream_error("PROTOCOL_ERROR", talk, talk.peer.trailers(1, (field,)))

    def test_8_1_trailers_without_end(self) -> None:
        """ "An endpoint that receives a HEADERS frame without the END_STREAM flag set [...] after receiving a final (non-informational)
        status code MUST treat the corresponding request or response as malformed (Section 8.1.1)."
        """
        for fields in (((b"x", b"y"),), (OK,), ((b":status", b"103"),)):
            talk = self.started()
            talk.receive(talk.peer.respond(1))
            self.assert_stream_error("PROTOCOL_ERROR", talk, talk.peer.headers(1, fields))

    def test_8_1_early_response(self) -> None:
        """ "Clients MUST NOT discard responses as a result of receiving such a RST_STREAM" """
        for cut in (False, True):
            talk = self.started(method=b"POST", body=None)
            talk.send(A, b"x" * 100_000)
            pieces = (talk.peer.respond(1, 413), talk.peer.data(1, b"hello", True), talk.peer.reset(1, ErrorCode.NO_ERROR))
            talk.receive(*(pieces if cut else (b"".join(pieces),)))
            talk.send(A, b"x", True)
            mine = [entry for entry in talk.outline if entry[0] in ("response", "data", "failed")]
            self.assertEqual(mine, [("response", A, 413, (), False), ("data", A, b"hello", True)])

    def test_8_1_order(self) -> None:
        """ "the order of HEADERS and DATA frames is semantically significant" (section 5): DATA does not come first."""
        self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.data(1, b"hello"))

    def test_8_1_1_length(self) -> None:
        """ "malformed if the value of a content-length header field does not equal the sum of the DATA frame payload lengths that form the
        content"
        """
        for content in (b"", b"hell", b"hello!"):
            talk = self.started()
            talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"5"),)))
            self.assert_stream_error("PROTOCOL_ERROR", talk, talk.peer.data(1, content, True), content)

    def test_8_1_1_no_content(self) -> None:
        """ "A response that is defined to have no content [...] MAY have a non-zero content-length header field" """
        length = ((b"content-length", b"5"),)
        for method, status in ((b"HEAD", 200), (b"GET", 204), (b"GET", 304)):
            talk = self.started(method=method)
            talk.receive(talk.peer.respond(1, status, length, fin=True))
            self.assertEqual(talk.outline, [("response", A, status, length, True)])

    def test_8_1_1_not_accepted(self) -> None:
        """ "Clients MUST NOT accept a malformed response." """
        talk = self.started()
        talk.receive(talk.peer.respond(1, 200, ((b"Upper", b"x"),)), talk.peer.data(1, b"hello", True))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])


class FieldTests(Rfc9113Case):
    """Sections 8.2 and 8.3: HTTP Fields, HTTP Control Data."""

    def refuse(self, *fields: tuple[bytes, bytes]) -> None:
        self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.headers(1, fields), fields)

    def sent(self, talk: Http2Conversation) -> list[tuple[bytes, bytes]]:
        (headers,) = [frame for frame in talk.newly_sent() if frame[0] == "HEADERS"]
        return list(headers[2])

    def test_8_2_1_names(self) -> None:
        """ "A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff (all ranges inclusive)." """
        for octet in (*range(0x21), *range(0x41, 0x5B), *range(0x7F, 0x100)):
            self.refuse(OK, (b"a%cb" % octet, b"x"))

    def test_8_2_1_colons(self) -> None:
        """ "field names MUST NOT include a colon (ASCII COLON, 0x3a)." """
        for name in (b"a:b", b"a:", b"::", b":"):
            self.refuse(OK, (name, b"x"))

    def test_8_2_1_values(self) -> None:
        """ "A field value MUST NOT contain the zero value (ASCII NUL, 0x00), line feed (ASCII LF, 0x0a), or carriage return (ASCII CR,
        0x0d) at any position."
        """
        for octet in (0x00, 0x0A, 0x0D):
            for value in (b"%cb", b"a%cb", b"a%c"):
                self.refuse(OK, (b"a", value % octet))

    def test_8_2_1_white_space(self) -> None:
        """ "A field value MUST NOT start or end with an ASCII whitespace character (ASCII SP or HTAB, 0x20 or 0x09)." """
        for value in (b" a", b"a ", b"\ta", b"a\t", b" "):
            self.refuse(OK, (b"a", value))

    def test_8_2_1_definitions(self) -> None:
        """ "Field values that are not valid according to the definition of the corresponding field do not cause a request to be
        malformed": nor a response.
        """
        fields = ((b"date", b"yesterday"), (b"age", b"-1"), (b"content-type", b"?"))
        talk = self.started()
        talk.receive(talk.peer.respond(1, 200, fields))
        self.assertEqual(talk.outline, [("response", A, 200, fields, False)])

    def test_8_2_2_received(self) -> None:
        """ "Any message containing connection-specific header fields MUST be treated as malformed (Section 8.1.1)." """
        for name in (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"):
            self.refuse(OK, (name, b"x"))

    def test_8_2_2_sent(self) -> None:
        """ "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields." """
        talk = self.talk()
        dropped = ((b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"5"), (b"proxy-connection", b"close"))
        talk.ask(A, headers=(*dropped, (b"transfer-encoding", b"chunked"), (b"upgrade", b"x"), (b"kept", b"y")))
        self.assertEqual(self.sent(talk)[4:], [(b"kept", b"y")])

    def test_8_2_2_te(self) -> None:
        """ "it MUST NOT contain any value other than "trailers"." """
        for value, sent in ((b"trailers", [(b"te", b"trailers")]), (b"gzip", []), (b"trailers, gzip", [])):
            talk = self.talk()
            talk.ask(A, headers=((b"te", value),))
            self.assertEqual(self.sent(talk)[4:], sent)

    def test_8_3_sent(self) -> None:
        """ "All pseudo-header fields MUST appear in a field block before all regular field lines." """
        talk = self.talk()
        talk.ask(A, headers=((b"a", b"b"),))
        self.assertEqual([name[:1] == b":" for name, _ in self.sent(talk)], [True] * 4 + [False])

    def test_8_3_of_requests(self) -> None:
        """ "Pseudo-header fields defined for requests MUST NOT appear in responses" """
        for name in (b":method", b":scheme", b":authority", b":path"):
            self.refuse(OK, (name, b"x"))

    def test_8_3_undefined(self) -> None:
        """ "Endpoints MUST treat a request or response that contains undefined or invalid pseudo-header fields as malformed" """
        self.refuse(OK, (b":unknown", b"x"))
        self.refuse((b":unknown", b"x"), OK)

    def test_8_3_after_a_field(self) -> None:
        """ "a pseudo-header field that appears in a field block after a regular field line MUST be treated as malformed" """
        self.refuse((b"a", b"b"), OK)

    def test_8_3_repeated(self) -> None:
        """ "The same pseudo-header field name MUST NOT appear more than once in a field block." """
        self.refuse(OK, OK)
        self.refuse(OK, (b"a", b"b"), OK)

    def test_8_3_1_all(self) -> None:
        """ "All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme", and ":path" pseudo-header fields" """
        talk = self.talk(scheme=b"http")
        talk.ask(A, b"DELETE", target=b"/a?b")
        names = {b":method": b"DELETE", b":scheme": b"http", b":authority": b"example.org", b":path": b"/a?b"}
        self.assertEqual(sorted(self.sent(talk)), sorted(names.items()))

    def test_8_3_1_path(self) -> None:
        """ "URIs that do not contain a path component MUST include a value of '/'." """
        for target, path in ((b"http://example.org", b"/"), (b"http://example.org?a", b"/?a"), (b"*", b"*")):
            talk = self.talk()
            talk.ask(A, b"OPTIONS" if target == b"*" else b"GET", target=target)
            self.assertIn((b":path", path), self.sent(talk))

    def test_8_3_1_userinfo(self) -> None:
        """ "":authority" MUST NOT include the deprecated userinfo subcomponent for "http" or "https" schemed URIs." """
        talk = self.talk()
        talk.ask(A, target=b"https://me:secret@example.org/")
        self.assertIn((b":authority", b"example.org"), self.sent(talk))

    def test_8_3_2_status(self) -> None:
        """ "This pseudo-header field MUST be included in all responses, including interim responses; otherwise, the response is malformed
        (Section 8.1.1)."
        """
        self.refuse((b"a", b"b"))
        self.refuse()
        for status in (b"", b"2", b"20", b"2000", b"2x0", b"099"):
            self.refuse((b":status", status))


class PushTests(Rfc9113Case):
    """Section 8.4: Server Push."""

    def promised(self, fields: Headers) -> Http2Conversation:
        talk = self.started(enable_push=True)
        talk.receive(talk.peer.promise(1, 2, fields))
        return talk

    def changed(self, name: bytes, value: bytes | None) -> Headers:
        """The usual promise with another value of one pseudo-field, or without it."""
        fields = [(given, value if given == name else usual) for given, usual in REQUEST]
        return tuple((given, usual) for given, usual in fields if usual is not None)

    def test_8_4_disabled(self) -> None:
        """ "The SETTINGS_ENABLE_PUSH setting can be set to 0 to indicate that server push is disabled.": so it is by default."""
        self.assertEqual(self.talk().sent[0][1]["enable_push"], 0)
        self.assertEqual(self.talk(enable_push=True).sent[0][1]["enable_push"], 1)

    def test_8_4_safe(self) -> None:
        """ "Clients that receive a promised request that is not cacheable, that is not known to be safe, or that indicates the presence
        of request content MUST reset the promised stream with a stream error (Section 5.4.2) of type PROTOCOL_ERROR."
        """
        for method in (b"POST", b"DELETE", b"CONNECT", b"get", b""):
            talk = self.promised(self.changed(b":method", method))
            self.assertEqual((talk.newly_sent(), talk.outline), ([("RST_STREAM", 2, "PROTOCOL_ERROR")], []), method)
        for method in (b"GET", b"HEAD"):
            self.assertEqual(self.promised(self.changed(b":method", method)).newly_sent(), [])

    def test_8_4_authority(self) -> None:
        """ "A client MUST treat a PUSH_PROMISE for which the server is not authoritative as a stream error (Section 5.4.2) of type
        PROTOCOL_ERROR."
        """
        for other in (b"example.com", b"www.example.org", b"example.org:8443", b""):
            talk = self.promised(self.changed(b":authority", other))
            self.assertEqual((talk.newly_sent(), talk.outline), ([("RST_STREAM", 2, "PROTOCOL_ERROR")], []), other)

    def test_8_4_1_complete(self) -> None:
        """ "If a client receives a PUSH_PROMISE that does not include a complete and valid set of header fields [...] it MUST respond on
        the promised stream with a stream error (Section 5.4.2) of type PROTOCOL_ERROR."
        """
        bad = [self.changed(name, None) for name, _ in REQUEST]
        bad += [(*REQUEST, REQUEST[0]), (*REQUEST, (b"Upper", b"x")), (*REQUEST, OK), (*REQUEST, (b"connection", b"close")), ()]
        bad += [((b"a", b"b"), *REQUEST), self.changed(b":path", b""), self.changed(b":path", b"x\r\ny"), self.changed(b":scheme", b"http")]
        for fields in bad:
            talk = self.promised(fields)
            self.assertEqual((talk.newly_sent(), talk.outline), ([("RST_STREAM", 2, "PROTOCOL_ERROR")], []), fields)
            self.assert_alive(talk)

    def test_8_4_2_response(self) -> None:
        """ "The server uses this stream to transmit an HTTP response, using the same sequence of frames as that defined in Section
        8.1."
        """
        talk = self.started(enable_push=True)
        stream = pushed(talk.receive(talk.peer.promise(1, 2)))
        talk.receive(talk.peer.respond(2, 103), talk.peer.respond(2), talk.peer.data(2, b"hello"), talk.peer.trailers(2))
        rest = [("inform", stream, 103, ()), ("response", stream, 200, (), False), ("data", stream, b"hello", False)]
        self.assertEqual(talk.outline[1:], [*rest, ("trailers", stream, ((b"x", b"y"),))])
        self.assertEqual(talk.newly_sent(), [])

    def test_8_4_2_unwanted(self) -> None:
        """ "the client can send a RST_STREAM frame, using either the CANCEL or REFUSED_STREAM code and referencing the pushed stream's
        identifier."
        """
        talk = self.started(enable_push=True)
        stream = pushed(talk.receive(talk.peer.promise(1, 2)))
        talk.cancel(stream)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, "CANCEL")])
        self.assertEqual(told(talk.receive(talk.peer.respond(2), talk.peer.data(2, b"hello", True))), [])

    def test_8_4_2_limit(self) -> None:
        """ "A client can use the SETTINGS_MAX_CONCURRENT_STREAMS setting to limit the number of responses that can be concurrently pushed
        by a server."
        """
        talk = self.started(enable_push=True, max_concurrent_streams=1)
        self.assertEqual(talk.sent[0][1]["max_concurrent_streams"], 1)
        talk.receive(talk.peer.promise(1, 2), talk.peer.promise(1, 4))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 4, "REFUSED_STREAM")])


class ConnectTests(Rfc9113Case):
    """Section 8.5: The CONNECT Method."""

    def connected(self, *, opened: bool = True) -> Http2Conversation:
        """A tunnel is asked for on stream 1, or open there; on 3 and 5 are requests. What was told and sent so far is put away."""
        talk = self.talk()
        talk.ask_connect(A)
        talk.ask(B)
        talk.ask(C)
        if opened:
            talk.receive(talk.peer.respond(1))
        talk.newly_sent()
        talk.steps.clear()
        return talk

    def test_8_5_stream(self) -> None:
        """ "In HTTP/2, the CONNECT method establishes a tunnel over a single HTTP/2 stream to a remote host, rather than converting the
        entire connection to a tunnel." """
        talk = self.connected()
        self.assertEqual((talk.core.switched, talk.core.accepting), (False, True))
        self.assert_alive(talk)

    def test_8_5_fields(self) -> None:
        """ "The ":method" pseudo-header field is set to CONNECT. The ":scheme" and ":path" pseudo-header fields MUST be omitted. The
        ":authority" pseudo-header field contains the host and port to connect to" """
        talk = self.talk()
        talk.ask_connect(A, target=b"example.org:80", headers=((b"x", b"y"),))
        fields = ((b":method", b"CONNECT"), (b":authority", b"example.org:80"), (b"x", b"y"))
        self.assertEqual(talk.newly_sent(), [("HEADERS", 1, fields, False)])

    def test_8_5_success(self) -> None:
        """ "Once this connection is successfully established, the proxy sends a HEADERS frame containing a 2xx-series status code" """
        for status in (200, 201, 204, 299):
            talk = self.connected(opened=False)
            talk.receive(talk.peer.respond(1, status))
            self.assertEqual(talk.outline, [("response", A, status, (), False), ("tunnel opened", A)])

    def test_8_5_data(self) -> None:
        """ "After the initial HEADERS frame sent by each peer, all subsequent DATA frames correspond to data sent on the TCP
        connection." """
        talk = self.connected()
        talk.receive(talk.peer.data(1, b"to me", padding=5))
        talk.send(A, b"from me")
        self.assertEqual((talk.outline, talk.newly_sent()), ([("tunnel", A, b"to me")], [("DATA", 1, b"from me", False)]))

    def test_8_5_other_frames(self) -> None:
        """ "Frame types other than DATA or stream management frames (RST_STREAM, WINDOW_UPDATE, and PRIORITY) MUST NOT be sent on a
        connected stream and MUST be treated as a stream error (Section 5.4.2) if received." """
        for fin in (False, True):
            talk = self.connected()
            self.assert_stream_error("PROTOCOL_ERROR", talk, talk.peer.headers(1, ((b"x", b"y"),), fin=fin))
        self.assert_ignored(talk := self.connected(), talk.peer.window(1, 5))
        self.assert_ignored(talk := self.connected(), talk.peer.frame(FrameType.PRIORITY, 0, 1, b"\0\0\0\x03\x10"))

    def test_8_5_fin(self) -> None:
        """ "The END_STREAM flag on a DATA frame is treated as being equivalent to the TCP FIN bit.": each direction has its own, and "the
        final TCP segment or DATA frame could be empty"."""
        for last in (b"", b"last"):
            talk = self.connected()
            talk.receive(talk.peer.data(1, last, True))
            self.assertEqual(talk.outline[-1], ("tunnel closed", A))
            talk.send(A, b"more")
            talk.send(A, last, True)
            self.assertEqual(talk.newly_sent(), [("DATA", 1, b"more", False), ("DATA", 1, last, True)])
            self.assert_alive(talk)

    def test_8_5_error(self) -> None:
        """ "A TCP connection error is signaled with RST_STREAM. A proxy treats any error in the TCP connection … as a stream error (Section
        5.4.2) of type CONNECT_ERROR." """
        for opened in (False, True):
            talk = self.connected(opened=opened)
            talk.receive(talk.peer.reset(1, ErrorCode.CONNECT_ERROR))
            self.assertEqual(talk.outline, [("failed", A, "StreamReset(10)")])
            self.assert_alive(talk)


class ReliabilityTests(Rfc9113Case):
    """Sections 8.6 and 8.7: The Upgrade Header Field, Request Reliability."""

    def test_8_6_switching(self) -> None:
        """ "HTTP/2 does not support the 101 (Switching Protocols) informational status code" """
        for fin in (False, True):
            self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.respond(1, 101, fin=fin))

    def test_8_7_goaway(self) -> None:
        """ "Requests on streams with higher numbers are therefore guaranteed to be safe to retry." """
        talk = self.started()
        talk.receive(talk.peer.goaway(1))
        talk.lose()
        self.assertEqual((talk.core.losses().killed, set(talk.core.losses().unprocessed)), ((A,), {B, C}))

    def test_8_7_refused(self) -> None:
        """ "Any request that was sent on the reset stream can be safely retried." """
        talk = self.started()
        talk.receive(talk.peer.reset(1, ErrorCode.REFUSED_STREAM))
        self.assertEqual((talk.outline, talk.core.losses().unprocessed), ([("failed", A, "StreamRefused")], (A,)))
        self.assertEqual(talk.newly_sent(), [])

    def test_8_7_others(self) -> None:
        """Other codes do not say so: "It is possible that some server processing occurred prior to the error"."""
        for code in ErrorCode:
            if code != ErrorCode.REFUSED_STREAM:
                talk = self.started()
                talk.receive(talk.peer.reset(1, code))
                self.assertEqual((talk.outline, talk.core.losses().unprocessed), ([("failed", A, f"StreamReset({code.value})")], ()))

    def test_8_7_ping(self) -> None:
        """ "The PING frame allows a client to safely test whether a connection is still active without sending a request." """
        talk = self.started()
        talk.ping("alive")
        ((name, payload),) = talk.newly_sent()
        self.assertEqual(name, "PING")
        talk.now = 2.5
        talk.receive(talk.peer.ping(payload, ack=True))
        self.assertEqual(talk.outline, [("ping answered", "alive", 2.5)])


class ConnectionTests(Rfc9113Case):
    """Section 9: HTTP/2 Connections."""

    def test_9_1_persistent(self) -> None:
        """ "HTTP/2 connections are persistent.": one is not closed for want of requests."""
        talk = self.talk()
        talk.ask(A)
        talk.receive(talk.peer.respond(1, fin=True))
        talk.at(1_000_000.0)
        self.assertTrue(talk.core.accepting)
        self.assertFalse(talk.over)

    def test_9_1_goaway_at_the_end(self) -> None:
        """ "Endpoints SHOULD send a GOAWAY frame when ending a connection" (section 5.4.1)."""
        talk = self.talk()
        talk.shutdown()
        self.assertEqual((talk.newly_sent(), talk.outline), ([("GOAWAY", 0, "NO_ERROR")], [("close", None)]))


class TlsTests(Case):
    """Section 9.2: Use of TLS Features."""

    def test_9_2_version(self) -> None:
        """ "Implementations of HTTP/2 MUST use TLS version 1.2 [TLS12] or higher for HTTP/2 over TLS." """
        old = ServerCreator(authority().issue(HOST), minimum=SSL.TLS1_1_VERSION, maximum=SSL.TLS1_1_VERSION, ciphers="ALL:@SECLEVEL=0")
        client, _ = self.dial(self.creator(alpn=(b"h2",)), old)
        self.assertEqual(client.told, ["lost"])

    def test_9_2_server_name(self) -> None:
        """ "If the server is identified by a domain name [DNS-TERMS], clients MUST send the server_name TLS extension" """
        client, far = self.accepts(HOST, ServerCreator(authority().issue(HOST), choose=lambda offered: b"h2"), alpn=(b"h2",))
        tls: Any = far.server.transport
        self.assertEqual((client.alpn, tls.getHandle().get_servername()), (b"h2", HOST.encode()))

    def test_9_2_1_renegotiation(self) -> None:
        """ "A deployment of HTTP/2 over TLS 1.2 MUST disable renegotiation.": a server that asks for it loses the connection."""
        server = ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION, choose=lambda offered: b"h2")
        client, far = self.accepts(HOST, server, alpn=(b"h2",))
        tls: Any = far.server.transport
        self.assertTrue(tls.getHandle().renegotiate())
        tls.write(b"after that")
        far.pump()
        self.assertEqual(client.told, ["handshake", "lost"])

    def test_9_2_2_prohibited(self) -> None:
        """ "Endpoints MAY choose to generate a connection error (Section 5.4.1) of type INADEQUATE_SECURITY if one of the prohibited
        cipher suites is negotiated.": we do, before anything is sent; HTTP/1.1 may use it, where the options allow it.
        """
        suite = "ECDHE-ECDSA-AES128-SHA256"
        for chosen, refused in ((b"h2", True), (b"http/1.1", False)):
            server = ServerCreator(
                authority().issue(HOST),
                maximum=SSL.TLS1_2_VERSION,
                ciphers=suite,
                choose=lambda _, chosen=chosen: chosen,  # type: ignore[misc]
            )
            client, far = self.dial(self.creator(alpn=(b"h2", b"http/1.1"), ciphers=suite), server)
            self.assertEqual((client.alpn, client.refused is not None, far.server.received), (chosen, refused, b""))

    def test_9_2_2_permitted(self) -> None:
        """ "Implementations MUST NOT generate this error in reaction to the negotiation of a cipher suite that is not prohibited." """
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            server = ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION, ciphers=suite, choose=lambda offered: b"h2")
            client, _ = self.accepts(HOST, server, alpn=(b"h2",))
            self.assertEqual(client.alpn, b"h2")


class Section10Tests(Rfc9113Case):
    """Section 10: Security Considerations."""

    def test_10_5_reserved(self) -> None:
        """ "A client that accepts server push SHOULD limit the number of streams it allows to be in the "reserved (remote)" state." """
        talk = self.started(enable_push=True, max_concurrent_streams=3)
        talk.receive(*[talk.peer.promise(1, 2 * at) for at in range(1, 10)])
        self.assertEqual([entry[0] for entry in talk.outline], ["push"] * 3)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2 * at, "REFUSED_STREAM") for at in range(4, 10)])

    def test_10_5_one_setting(self) -> None:
        """ "changing the same setting multiple times in the same frame": only the last value is obeyed, and once."""
        talk = self.talk()
        talk.ask(A, b"POST", body=b"x" * 100_000)
        talk.receive(talk.peer.window(0, 100_000))
        talk.newly_sent()
        talk.receive(settings([(4, 65_535 + at) for at in range(2000)]))
        self.assertEqual([(frame[0], len(frame)) for frame in talk.newly_sent()], [("SETTINGS ACK", 1), ("DATA", 4)])
        self.assertEqual(talk.peer.received[-1][2], b"x" * 1999)

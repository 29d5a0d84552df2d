"""Lines of output: the schema, which docs/guide/service.rst has."""

from __future__ import annotations

import base64
import gc
import json
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import NOON
from tests.stage import up
from twisted_gun.events import SECRET_HEADERS
from twisted_gun.gunclient.records import Records
from twisted_gun.testing import MemoryGun


class RecordsCase(SynchronousTestCase):
    """A test of records, with real streams."""

    def setUp(self) -> None:
        self.records = Records(lambda: NOON + 0.25)
        self.world: MemoryGun = up()
        self.conn = self.world.connection

    def stream(self) -> gun.Stream:
        """A stream of a request."""
        return self.conn.get("/", reply_to=gun.Receiver())

    def of(self, event: Any) -> dict[str, Any]:
        """The line about `event`, without its time."""
        line = self.records.of(event)
        self.assertEqual(line.count(b"\n"), 1)
        told: dict[str, Any] = json.loads(line)
        self.assertEqual(told.pop("time"), "2026-11-29T12:00:00.250000Z")
        return told


class EventTests(RecordsCase):
    """Each event."""

    def test_up(self) -> None:
        """The protocol, and where it leads."""
        told = self.of(gun.Up(connection=self.conn, protocol="http"))
        self.assertEqual(told, {"event": "up", "protocol": "http", "peer": "192.0.2.80:80"})

    def test_down(self) -> None:
        """How many streams ended with it, and why."""
        streams = (self.stream(), self.stream())
        down = {"connection": self.conn, "protocol": "http", "killed_streams": streams, "unprocessed_streams": streams[:1]}
        told = self.of(gun.Down(reason=gun.GoAway("going", 1, 3), **down))  # type: ignore[arg-type]
        counts = {"killed": 2, "unprocessed": 1}
        self.assertEqual(told, {"event": "down", "protocol": "http", "reason": "going", "kind": "GoAway", **counts})
        told = self.of(gun.Down(reason=None, **down))  # type: ignore[arg-type]
        self.assertEqual(told, {"event": "down", "protocol": "http", **counts})

    def test_error(self) -> None:
        """Of a stream, or of the connection."""
        stream, reason = self.stream(), gun.StreamClosed("why")
        told = self.of(gun.Error(connection=self.conn, stream=stream, reason=reason))
        self.assertEqual(told, {"event": "error", "request": 1, "reason": "why", "kind": "StreamClosed"})
        told = self.of(gun.Error(connection=self.conn, stream=None, reason=reason))
        self.assertEqual(told, {"event": "error", "reason": "why", "kind": "StreamClosed"})

    def test_notify(self) -> None:
        """What JSON can say of it."""
        settings = {"max_frame_size": 1, "odd": None}
        for info, expected in ((settings, {"max_frame_size": 1, "odd": "None"}), (0.5, 0.5), ("x", "x"), (b"x", "b'x'")):
            told = self.of(gun.Notify(connection=self.conn, type="some", info=info))
            self.assertEqual(told, {"event": "notify", "type": "some", "info": expected})

    def test_response(self) -> None:
        """Status and fields, in their order, each as often as it came; credentials are not shown."""
        stream = self.stream()
        fields = ((b"x", b"\xe4"), (b"a", b"1"), (b"x", b"2"), *((name, b"hidden") for name in sorted(SECRET_HEADERS)))
        told = self.of(gun.Response(stream=stream, fin=False, status=200, headers=fields))
        shown = [["x", "ä"], ["a", "1"], ["x", "2"], *([name.decode(), "[secret]"] for name in sorted(SECRET_HEADERS))]
        self.assertEqual(told, {"event": "response", "request": 1, "status": 200, "headers": shown, "fin": False})
        told = self.of(gun.Inform(stream=stream, status=103, headers=((b"link", b"x"),)))
        self.assertEqual(told, {"event": "inform", "request": 1, "status": 103, "headers": [["link", "x"]], "fin": False})

    def test_trailers_and_others(self) -> None:
        """Trailers, upgrades, pushes, tunnels."""
        stream, pushed = self.stream(), self.stream()
        told = self.of(gun.Upgrade(stream=stream, protocols=(b"websocket",), headers=((b"a", b"b"),)))
        self.assertEqual(told, {"event": "upgrade", "request": 1, "protocols": ["websocket"], "headers": [["a", "b"]]})
        push = gun.Push(stream=stream, pushed_stream=pushed, method=b"GET", uri=b"https://a/b?hidden", headers=())
        self.assertEqual(self.of(push), {"event": "push", "request": 1, "pushed": 2, "method": "GET", "uri": "https://a/b"})
        told = self.of(gun.TunnelUp(connection=self.conn, stream=None, protocol="http"))
        self.assertEqual(told, {"event": "tunnel_up", "protocol": "http"})
        told = self.of(gun.Trailers(stream=stream, headers=((b"cookie", b"hidden"),)))
        self.assertEqual(told, {"event": "trailers", "request": 1, "headers": [["cookie", "[secret]"]]})

    def test_frames(self) -> None:
        """Messages of websockets, as text or in base64, pings, and the end."""
        stream = self.stream()
        cases: list[tuple[gun.Frame, dict[str, Any]]] = [
            (gun.Text("ä\u2028"), {"type": "text", "size": 5, "text": "ä\u2028"}),
            (gun.Binary(b"\xff"), {"type": "binary", "base64": "/w==", "size": 1}),
            (gun.Ping(b"p"), {"type": "ping", "base64": "cA==", "size": 1}),
            (gun.Pong(b""), {"type": "pong", "base64": "", "size": 0}),
            (gun.Close(1000, "bye"), {"type": "close", "code": 1000, "reason": "bye"}),
        ]
        for frame, expected in cases:
            self.assertEqual(self.of(gun.Ws(stream=stream, frame=frame)), {"event": "ws", "request": 1, **expected})
        told = self.of(gun.Ws(stream=stream, frame=gun.Close()))
        self.assertEqual(told, {"event": "ws", "request": 2, "type": "close", "reason": ""})

    def test_sse(self) -> None:
        """Events of a server, and the end of their stream."""
        stream = self.stream()
        event = gun.SseEvent(event_type="greeting", data="hello\nyou", last_event_id="7")
        told = self.of(gun.Sse(stream=stream, event=event))
        self.assertEqual(told, {"event": "sse", "request": 1, "type": "greeting", "id": "7", "size": 9, "text": "hello\nyou"})
        self.assertEqual(self.of(gun.Sse(stream=stream, event=None)), {"event": "sse_end", "request": 1})

    def test_every_event(self) -> None:
        """There is a line for whatever a receiver can be told."""
        told = {kind.told_as for kind in Records_kinds()}
        self.assertEqual(told, set(gun.IReceiver.names()))

    def test_request(self) -> None:
        """A request is told without its query, and has the number of what is told of it later."""
        stream = self.stream()
        line = json.loads(self.records.request(stream, "GET", "/a?hidden"))
        del line["time"]
        self.assertEqual(line, {"event": "request", "request": 1, "method": "GET", "path": "/a"})
        self.assertEqual(self.of(gun.Response(stream=stream, fin=True, status=204, headers=()))["request"], 1)

    def test_numbers(self) -> None:
        """Each stream has a number of its own, and when it has ended nothing is kept of it."""
        for number in range(1, 4):
            stream = self.stream()
            for fin in (False, True):
                told = self.of(gun.Data(stream=stream, fin=fin, data=b"x"))
                self.assertEqual(told["request"], number)
        self.assertEqual((len(self.records._numbers), len(self.records._texts)), (0, 0))

    def test_cancelled(self) -> None:
        """Nor of one that has no last event, once nobody else has it."""
        stream = self.stream()
        self.of(gun.Data(stream=stream, fin=False, data=b"x"))
        stream.cancel()
        self.world.pump()
        self.assertEqual(len(self.records._numbers), 1)
        self.world.connection.close()
        self.world.pump()
        del stream
        gc.collect()
        self.assertEqual((len(self.records._numbers), len(self.records._texts)), (0, 0))

    def test_no_line_breaks(self) -> None:
        """Whatever text holds, a line is one line, and valid JSON in UTF-8."""
        for text in ("a\nb\r", "\u2028\u2029\x85", "\x00\x1f", "\U0001f600", "\udc80"):
            line = self.records.line("x", text=text)
            self.assertEqual(line.count(b"\n"), 1)
            self.assertEqual(json.loads(line.decode("utf-8"))["text"], text)

    def test_none_is_left_out(self) -> None:
        """A field without a value is not there."""
        self.assertEqual(set(json.loads(self.records.line("x", a=None, b=0))), {"time", "event", "b"})


class ContentTests(RecordsCase):
    """Content, in pieces."""

    def pieces(self, *pieces: bytes) -> list[dict[str, Any]]:
        """What is told of content that comes in these pieces."""
        stream = self.stream()
        last = len(pieces) - 1
        return [self.of(gun.Data(stream=stream, fin=at == last, data=piece)) for at, piece in enumerate(pieces)]

    def test_text(self) -> None:
        """Text is told as such."""
        first, second = self.pieces(b"abc", "ä".encode())
        self.assertEqual(first, {"event": "data", "request": 1, "size": 3, "text": "abc", "fin": False})
        self.assertEqual(second, {"event": "data", "request": 1, "size": 2, "text": "ä", "fin": True})

    def test_cut_at_every_byte(self) -> None:
        """A letter that is cut is told with its last part: together it is the same text."""
        content = "aä€😀z".encode()
        for at in range(len(content) + 1):
            told = self.pieces(content[:at], content[at:])
            self.assertEqual("".join(piece["text"] for piece in told), "aä€😀z")
        told = self.pieces(*(content[at : at + 1] for at in range(len(content))))
        self.assertEqual("".join(piece["text"] for piece in told), "aä€😀z")

    def test_binary(self) -> None:
        """From where it is no text it is in base64, the part of a letter that was held back too; nothing is lost, nothing told twice."""
        for content in (b"abc\xff\xfe", b"\xe4", b"ab\xe2\x82", b"\xe2\x82x", b"\xe2\x82\xac\xe2"):
            for at in range(len(content) + 1):
                told = self.pieces(content[:at], content[at:])
                whole = b"".join(piece["text"].encode() if "text" in piece else base64.b64decode(piece["base64"]) for piece in told)
                self.assertEqual(whole, content, (content, at))
                self.assertIn("base64", told[-1])
        told = self.pieces(b"\xff", b"abc", b"")
        self.assertEqual([piece.get("base64") for piece in told], ["/w==", "YWJj", ""])

    def test_empty(self) -> None:
        """A last piece without anything says only that it is the last."""
        self.assertEqual(self.pieces(b"")[0], {"event": "data", "request": 1, "size": 0, "text": "", "fin": True})

    def test_no_data(self) -> None:
        """Without data there is only how large things are."""
        self.records = Records(lambda: NOON + 0.25, data=False)
        stream = self.stream()
        self.assertEqual(self.of(gun.Data(stream=stream, fin=False, data=b"abc")), {"event": "data", "request": 1, "size": 3, "fin": False})
        self.assertEqual(self.of(gun.Ws(stream=stream, frame=gun.Text("ä"))), {"event": "ws", "request": 1, "type": "text", "size": 2})
        self.assertEqual(self.of(gun.Ws(stream=stream, frame=gun.Binary(b"x"))), {"event": "ws", "request": 1, "type": "binary", "size": 1})
        event = gun.SseEvent(data="secret", last_event_id="1")
        self.assertEqual(
            self.of(gun.Sse(stream=stream, event=event)), {"event": "sse", "request": 1, "type": "message", "id": "1", "size": 6}
        )


class WayTests(SynchronousTestCase):
    """How a connection leads to its server."""

    def test_tls_and_proxies(self) -> None:
        """TLS and proxies are told."""
        from tests.gunclient.fakes import FakeConnection

        connection: Any = FakeConnection(StringTransport().getPeer())
        told = json.loads(Records(lambda: NOON).of(gun.Up(connection=connection, protocol="http2")))
        self.assertEqual(told["tls"], {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"})
        self.assertEqual(told["proxies"], ["proxy.example:3128", "[::1]:1080"])
        self.assertEqual(told["peer"], "192.168.1.1:54321")


def Records_kinds() -> list[Any]:
    """The types that there are lines for."""
    from twisted_gun.gunclient.records import _MAKERS

    return list(_MAKERS)

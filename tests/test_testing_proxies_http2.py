"""`twisted_gun.testing.proxies` over HTTP/2, against the client of h2; forwarded requests, TLS, chains, and real sockets."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, InformationalResponseReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.test_testing_proxies import BASIC, MARK, MUCH, ProxyCase
from twisted_gun.testing import proxies_http2
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode, FrameType

PLACE = "origin.example:443"
WINDOW = 65_535
LARGE = 1 << 24


class Http2Client(Protocol):
    """
    h2 as a client. `told` is what each stream was told, `data` its content; without `acknowledging` it opens no window again.

    What it sends waits in `waiting` for the proxy's windows.
    """

    transport: Any

    def __init__(self, window: int = WINDOW) -> None:
        self.h2 = H2Connection(H2Configuration(header_encoding=None))
        self.told: dict[int, list[Any]] = {}
        self.fields: dict[int, dict[str, str]] = {}
        self.data: dict[int, bytearray] = {}
        self.waiting: dict[int, bytes] = {}
        self.largest = 0
        self.acknowledging = True
        self.gone_away: int | None = None
        self.lost: Failure | None = None
        self._window = window

    def connectionMade(self) -> None:
        self.h2.initiate_connection()
        if self._window > WINDOW:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: self._window})
            self.h2.increment_flow_control_window(self._window - WINDOW)
        self.flush()

    def flush(self) -> None:
        """Send what h2 has made."""
        self.transport.write(self.h2.data_to_send())

    def ask(self, fields: dict[str, str], end: bool = False) -> int:
        """Send a request; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.told[stream], self.data[stream] = [], bytearray()
        self.h2.send_headers(stream, list(fields.items()), end_stream=end)
        self.flush()
        return stream

    def connect(self, place: str = PLACE, **fields: str) -> int:
        """Ask for a tunnel; returns its stream."""
        return self.ask({":method": "CONNECT", ":authority": place, **{name.replace("_", "-"): value for name, value in fields.items()}})

    def get(self, target: str = "http://origin.example/", method: str = "GET", end: bool = True, **fields: str) -> int:
        """Ask for a request to be forwarded."""
        scheme, _, rest = target.partition("://")
        place, _, path = rest.partition("/")
        return self.ask({":method": method, ":scheme": scheme, ":authority": place, ":path": "/" + path, **fields}, end)

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        """Send content, as far as the windows let it."""
        self.waiting[stream] = self.waiting.get(stream, b"") + data
        while piece := self.waiting[stream][: min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)]:
            self.h2.send_data(stream, piece)
            self.waiting[stream] = self.waiting[stream][len(piece) :]
        if end:
            self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream: int) -> None:
        """Reset a stream."""
        self.h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def acknowledge(self) -> None:
        """Open the windows again, now and from now on."""
        self.acknowledging = True
        for stream, data in self.data.items():
            self.h2.acknowledge_received_data(len(data), stream)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, (ResponseReceived, InformationalResponseReceived)):
                self.fields[event.stream_id] = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
                self.told[event.stream_id].append(int(self.fields[event.stream_id][":status"]))
            elif isinstance(event, DataReceived):
                self.data[event.stream_id] += event.data
                self.largest = max(self.largest, len(event.data))
                if self.acknowledging:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.told[event.stream_id].append("end")
            elif isinstance(event, StreamReset):
                self.told[event.stream_id].append(ErrorCode(event.error_code).name)
            elif isinstance(event, ConnectionTerminated):
                self.gone_away = event.error_code
        for stream in [stream for stream, data in self.waiting.items() if data]:
            self.send(stream, b"")
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Http2Case(ProxyCase):
    """A client of HTTP/2 and its proxy."""

    def start(self, window: int = WINDOW, **options: Any) -> Http2Client:
        """A connection."""
        client: Http2Client = self.connect(self.proxy("http2", **options), lambda: Http2Client(window))
        return client

    def tunnel(self, client: Http2Client) -> int:
        """A tunnel."""
        stream = client.connect()
        self.settle()
        self.assertEqual(client.told[stream], [200])
        return stream

    def end(self, client: Http2Client) -> None:
        """Let the client go, and nothing remain."""
        client.transport.loseConnection()
        self.settle()
        self.assert_over()


class TunnelTests(Http2Case):
    """CONNECT over HTTP/2 (RFC 9113 section 8.5)."""

    def test_tunnels(self) -> None:
        """Each stream is a tunnel of its own, and is on record."""
        client = self.start()
        one, two = self.tunnel(client), client.connect("[::1]:80", user_agent="me")
        client.send(one, b"one")
        client.send(two, b"early")
        self.settle()
        self.origins[0].transport.write(b"ONE")
        self.send(self.origins[1], b"TWO")
        self.assertEqual([origin.data for origin in self.origins], [b"one", b"early"])
        self.assertEqual((client.data[one], client.data[two]), (b"ONE", b"TWO"))
        first, second = self.factory.tunnels
        self.assertEqual((first.host, first.port, first.status, first.headers, first.open), ("origin.example", 443, 200, (), True))
        self.assertEqual((second.host, second.port, second.headers), ("::1", 80, ((b"user-agent", b"me"),)))
        self.assertEqual((first.sent, first.received, second.sent, second.received), (3, 3, 5, 3))
        self.end(client)

    def test_byte_by_byte(self) -> None:
        """However the bytes are cut, the same comes out."""
        client = self.start()
        self.link.chunk_size = 1
        stream = self.tunnel(client)
        client.send(stream, b"hello", end=True)
        self.settle()
        self.send(self.origins[0], b"world")
        self.assertEqual((self.origins[0].data, client.data[stream]), (b"hello", b"world"))
        self.origins[0].transport.loseConnection()
        self.end(client)

    def test_chunk(self) -> None:
        """No DATA frame is larger than `chunk`."""
        client = self.start(chunk=1000)
        stream = self.tunnel(client)
        self.send(self.origins[0], MUCH[:100_000])
        self.assertEqual((client.data[stream], client.largest), (MUCH[:100_000], 1000))

    def test_the_client_ends_first(self) -> None:
        """END_STREAM becomes FIN; the answer still comes, and FIN becomes END_STREAM."""
        client = self.start()
        stream = self.tunnel(client)
        client.send(stream, b"last", end=True)
        self.settle()
        self.assertEqual((self.origins[0].data, self.origins[0].told), (b"last", ["read"]))
        self.origins[0].transport.write(MUCH)
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertEqual((client.data[stream] == MUCH, client.told[stream]), (True, [200, "end"]))
        self.assertFalse(self.factory.tunnels[0].open)
        self.end(client)

    def test_the_origin_ends_first(self) -> None:
        """FIN becomes END_STREAM behind all that came before; the client may go on, until it ends too."""
        client = self.start()
        stream = self.tunnel(client)
        self.origins[0].transport.write(MUCH)
        self.half_close(self.origins[0])
        self.assertEqual((client.data[stream] == MUCH, client.told[stream]), (True, [200, "end"]))
        client.send(stream, b"more")
        self.settle()
        self.assertEqual((self.origins[0].data, self.factory.tunnels[0].open), (b"more", True))
        client.send(stream, b"", end=True)
        self.settle()
        self.assertEqual((self.origins[0].told, self.factory.tunnels[0].open), (["write", "read"], False))
        self.origins[0].transport.loseConnection()
        self.end(client)

    def test_an_end_at_once(self) -> None:
        """END_STREAM may come with the request, and before the tunnel is there."""
        client = self.start()
        stream = client.ask({":method": "CONNECT", ":authority": PLACE}, end=True)
        self.settle()
        self.assertEqual((self.origins[0].told, client.told[stream]), (["read"], [200]))
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertEqual(client.told[stream], [200, "end"])
        self.end(client)

    def test_the_client_resets(self) -> None:
        """RST_STREAM becomes RST, and the other tunnels go on; so does the window of the connection."""
        client = self.start()
        stream, other = self.tunnel(client), self.tunnel(client)
        client.reset(stream)
        self.settle()
        self.assertEqual((self.origins[0].told, self.origins[1].told), (["ConnectionLost"], []))
        client.send(other, MUCH)
        self.settle()
        self.assertTrue(self.origins[1].data == MUCH)
        self.end(client)

    def test_the_origin_aborts(self) -> None:
        """RST becomes RST_STREAM with CONNECT_ERROR."""
        client = self.start()
        stream, _ = self.tunnel(client), self.tunnel(client)
        self.abort(self.origins[0])
        self.assertEqual((client.told[stream], self.origins[1].told), ([200, "CONNECT_ERROR"], []))
        self.end(client)

    def test_the_origin_aborts_behind_its_end(self) -> None:
        """An origin that has ended, and takes no more, has the client stop, which it is told without an error."""
        client = self.start()
        stream = self.tunnel(client)
        self.half_close(self.origins[0])
        self.abort(self.origins[0])
        client.send(stream, b"more")
        self.settle()
        self.assertEqual(client.told[stream], [200, "end", "NO_ERROR"])
        self.end(client)

    def test_the_connection_ends(self) -> None:
        """The end of the connection is an error for the tunnels, however it came about."""
        for leave in ("loseConnection", "abortConnection", "loseWriteConnection"):
            client = self.start()
            self.tunnel(client)
            getattr(client.transport, leave)()
            self.settle()
            self.assertEqual(self.origins[-1].told, ["ConnectionLost"])
            self.assert_over()

    def test_goaway(self) -> None:
        """A client that goes away has its tunnels to the end, and what it sends behind GOAWAY is understood."""
        client = self.start()
        stream = self.tunnel(client)
        self.link.chunk_size = 5
        client.transport.write(frames.goaway(0, ErrorCode.NO_ERROR, b"so long"))
        client.send(stream, b"hello")
        self.settle()
        self.send(self.origins[0], b"world")
        self.assertEqual((self.origins[0].data, client.data[stream]), (b"hello", b"world"))
        self.end(client)

    def test_gone_while_connecting(self) -> None:
        """A reset before the tunnel is there cancels the attempt."""
        self.onward.hang()
        client = self.start()
        client.reset(client.connect())
        client.connect()
        self.settle()
        self.end(client)
        self.assertEqual((self.origins, len(self.factory.tunnels)), ([], 2))

    def test_unreachable(self) -> None:
        """An onward connection that fails is answered by 502; the client is to stop."""
        self.onward.refuse()
        client = self.start()
        stream = client.connect()
        client.send(stream, b"early")
        self.settle()
        self.assertEqual(client.told[stream], [502, "end", "NO_ERROR"])
        self.assertEqual(client.data[stream], b"The proxy says: 502 Bad Gateway\n")
        self.end(client)

    def test_credentials(self) -> None:
        """Who has no credentials, or others, is asked for them."""
        client = self.start(credentials=("ann", "se:cret"))
        refused, admitted = client.connect(), client.connect(proxy_authorization=BASIC.decode())
        self.settle()
        self.assertEqual((client.told[refused][0], client.told[admitted]), (407, [200]))
        self.assertEqual(client.fields[refused]["proxy-authenticate"], 'Basic realm="proxy"')
        self.assertEqual([(tunnel.user, tunnel.status) for tunnel in self.factory.tunnels], [(None, 407), ("ann", 200)])
        self.end(client)

    def test_refused(self) -> None:
        """By `refuse`; what is no place to connect to; and CONNECT with a protocol."""
        client = self.start(refuse=403)
        self.link.chunk_size = 1
        websocket = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/", ":authority": PLACE}
        client.h2.config.validate_outbound_headers = False
        streams = [client.connect(), client.connect("origin.example"), client.ask(websocket), client.ask(websocket, end=True)]
        self.settle()
        self.assertEqual([client.told[stream][0] for stream in streams], [403, 400, 501, 501])
        self.assertEqual([client.told[stream][1:] for stream in streams], [["end", "NO_ERROR"]] * 3 + [["end"]])
        self.assertEqual(self.places, [])
        self.end(client)

    def test_fields_in_a_tunnel(self) -> None:
        """RFC 9113 section 8.5: other frame types "MUST be treated as a stream error"."""
        client = self.start()
        stream = self.tunnel(client)
        client.h2.send_headers(stream, [("x", "y")], end_stream=True)
        client.flush()
        self.settle()
        self.assertEqual((client.told[stream], self.origins[0].told), ([200, "PROTOCOL_ERROR"], ["ConnectionLost"]))
        self.end(client)

    def test_errors_of_the_connection(self) -> None:
        """What is not HTTP/2 is answered by GOAWAY, and ends it all; a frame is measured before it has arrived."""
        for sent, code in (
            (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
            (frames.frame(FrameType.DATA, 0, 1, bytes(16_385))[:9], ErrorCode.FRAME_SIZE_ERROR),
        ):
            client = self.start()
            self.tunnel(client)
            self.send(client, sent)
            self.assertEqual((client.gone_away, self.origins[-1].told), (code, ["ConnectionLost"]))
            self.assert_over()


class FlowTests(Http2Case):
    """Back-pressure over HTTP/2."""

    def test_a_slow_client(self) -> None:
        """A closed window makes the proxy stop reading from the origin; other streams go on."""
        client = self.start()
        client.acknowledging = False
        client.h2.increment_flow_control_window(LARGE)  # that of the connection
        stream, other = self.tunnel(client), self.tunnel(client)
        self.send(self.origins[0], MUCH)
        self.assertFalse(self.onward.links[0].client.reading)
        self.assertEqual(len(client.data[stream]), WINDOW)
        self.assertLessEqual(self.factory.tunnels[0].received, WINDOW + MARK)
        self.send(self.origins[1], b"hello")
        self.assertEqual(client.data[other], b"hello")
        client.acknowledge()
        self.settle()
        self.assertTrue(client.data[stream] == MUCH)
        self.end(client)

    def test_the_window_of_the_connection(self) -> None:
        """Streams that wait for the window of the connection take turns."""
        client = self.start()
        client.acknowledging = False
        streams = [self.tunnel(client) for _ in range(3)]
        for origin in self.origins:
            origin.transport.write(MUCH)
        self.settle()
        self.assertEqual(sum(len(client.data[stream]) for stream in streams), WINDOW)
        for _ in range(20):
            client.h2.increment_flow_control_window(10_000)
            client.flush()
            self.settle()
        self.assertGreater(min(len(client.data[stream]) for stream in streams), 30_000)

    def test_a_slow_transport(self) -> None:
        """With windows of any size, what the client does not read is bounded."""
        client = self.start(LARGE)
        streams = [self.tunnel(client) for _ in range(3)]
        client.transport.pauseProducing()
        for origin in self.origins:
            origin.transport.write(MUCH)
        self.settle()
        self.assertLessEqual(self.link.server.buffered, 4 * MARK)
        self.assertLessEqual(sum(tunnel.received for tunnel in self.factory.tunnels), 8 * MARK)
        client.transport.resumeProducing()
        self.settle()
        self.assertEqual([client.data[stream] == MUCH for stream in streams], [True] * 3)
        self.end(client)

    def test_a_slow_origin(self) -> None:
        """The client's window is opened only as the origin takes the bytes; other streams go on."""
        client = self.start()
        stream, other = self.tunnel(client), self.tunnel(client)
        self.origins[0].transport.pauseProducing()
        client.send(stream, MUCH)
        self.settle()
        self.assertEqual(client.h2.local_flow_control_window(stream), 0)
        self.assertLessEqual(self.onward.links[0].client.buffered, 2 * MARK)
        self.assertLessEqual(self.factory.tunnels[0].sent, 4 * MARK)
        client.send(other, MUCH)
        self.settle()
        self.assertTrue(self.origins[1].data == MUCH)
        self.origins[0].transport.resumeProducing()
        self.settle()
        self.assertTrue(self.origins[0].data == MUCH)
        self.end(client)

    def test_slow_connecting(self) -> None:
        """What comes before the tunnel is there is bounded by the window."""
        self.onward.hang()
        client = self.start()
        stream = client.connect()
        client.send(stream, MUCH)
        self.settle()
        self.assertEqual(client.h2.local_flow_control_window(stream), 0)
        self.assertLess(len(MUCH) - len(client.waiting[stream]), 4 * MARK)
        self.end(client)

    def test_many_that_are_stuck(self) -> None:
        """Whatever is stuck, the window of the connection has room for one more."""
        client = self.start()
        streams = [self.tunnel(client) for _ in range(100)]
        for stream, origin in zip(streams[:-1], self.origins[:-1], strict=True):
            origin.transport.pauseProducing()
            client.send(stream, MUCH[:300_000])
        self.settle()
        self.assertEqual({client.h2.streams[stream].outbound_flow_control_window for stream in streams[:-1]}, {0})
        client.send(streams[-1], MUCH)
        self.settle()
        self.assertTrue(self.origins[-1].data == MUCH)

    def test_reset_with_bytes_that_wait(self) -> None:
        """A stream that is reset gives its share of the window of the connection back."""
        self.patch(proxies_http2, "_WINDOW", 3 * WINDOW)
        client = self.start()
        for _ in range(6):
            stream = self.tunnel(client)
            self.origins[-1].transport.pauseProducing()
            client.send(stream, MUCH)
            self.settle()
            self.assertEqual(client.h2.streams[stream].outbound_flow_control_window, 0)
            client.waiting.clear()
            client.reset(stream)
            self.settle()
        last = self.tunnel(client)
        client.send(last, MUCH)
        self.settle()
        self.assertTrue(self.origins[-1].data == MUCH)

    def test_questions_without_end(self) -> None:
        """A client that asks and reads no answers is left."""
        client = self.start()
        client.transport.pauseProducing()
        for _ in range(200):
            self.send(client, frames.ping(bytes(8)) * 1000)
        self.assertLessEqual(self.link.server.buffered, 1_100_000)
        self.assertTrue(self.factory.connections[0].lost)

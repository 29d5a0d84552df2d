"""`twisted_gun.options`: each option is checked when it is given, and the error names it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.content_handlers import DataHandler, DecodeHandler, SseHandler
from twisted_gun.cookies import CookieStore
from twisted_gun.errors import GunError, OptionError
from twisted_gun.observers import EventHandler
from twisted_gun.options import (
    DeflateOptions,
    Http2Options,
    HttpOptions,
    Options,
    RawOptions,
    SocksOptions,
    TcpOptions,
    TlsOptions,
    WsOptions,
    make_options,
)

SECONDS_BAD: list[Any] = [-1, -0.5, "5", b"5", True, float("nan"), [], object()]
COUNTS_BAD: list[Any] = [0, -1, 1.0, "1", True, None, float("inf")]
BOOLS_BAD: list[Any] = [0, 1, None, "yes"]
PIN = bytes(range(32))


class Endpoint:
    """Something that can be dialled."""

    def connect(self, factory: object) -> None:
        """Dial."""


#: What HTTP/1.1 and HTTP/2 both have.
CONTENT: dict[str, tuple[list[Any], list[Any]]] = {
    "content_handlers": (
        [(), [], [SseHandler], (SseHandler, DecodeHandler), [(SseHandler, {}), DataHandler]],
        [None, 1, "x", SseHandler, [1], [None], [print], [SseHandler, "x"], [(SseHandler, 1)], {SseHandler: {}}],
    ),
    "cookie_ignore_informational": ([True, False], BOOLS_BAD),
}

#: For each option: values that are taken, and values that are not.
HTTP: dict[str, tuple[list[Any], list[Any]]] = {
    **dict.fromkeys(
        ("cancel_timeout", "closing_timeout", "header_timeout", "idle_timeout", "keepalive", "response_timeout"),
        ([0.001, 1, 30.0, None], [*SECONDS_BAD, 0]),
    ),
    **{option.name: ([1, 10**9], COUNTS_BAD) for option in fields(HttpOptions) if option.name.startswith("max_")},
    **CONTENT,
    "flow": ([1, 10**9, None], [value for value in COUNTS_BAD if value is not None]),
    "lenient": ([True, False], BOOLS_BAD),
    "transform_header_name": ([bytes.title, None], [b"x", "title", 1]),
    "version": (["HTTP/1.1", "HTTP/1.0"], ["http/1.1", "HTTP/2", b"HTTP/1.1", 1.1, None]),
}
#: Of HTTP/2: whole numbers from 0, from 1, and those that may be None as well.
FROM_ZERO_BAD = [value for value in COUNTS_BAD if value != 0 or isinstance(value, bool)]
OPTIONAL_BAD = [value for value in COUNTS_BAD if value is not None]
LARGEST = 2**31 - 1
HTTP2: dict[str, tuple[list[Any], list[Any]]] = {
    **dict.fromkeys(
        (
            "closing_timeout",
            "header_timeout",
            "idle_timeout",
            "keepalive",
            "preface_timeout",
            "response_timeout",
            "send_timeout",
            "settings_timeout",
        ),
        ([0.001, 1, 30.0, None], [*SECONDS_BAD, 0]),
    ),
    **dict.fromkeys(
        (
            "connection_window_margin_size",
            "connection_window_update_threshold",
            "max_continuations",
            "max_encode_table_size",
            "stream_window_data_threshold",
            "stream_window_margin_size",
            "stream_window_update_threshold",
        ),
        ([0, 1, LARGEST], FROM_ZERO_BAD),
    ),
    **dict.fromkeys(
        (
            "max_fragmented_header_block_size",
            "max_glitches",
            "max_header_count",
            "max_informational",
            "max_streams",
        ),
        ([1, 10**9], COUNTS_BAD),
    ),
    **dict.fromkeys(("max_concurrent_streams", "max_decode_table_size"), ([0, 1, 2**32 - 1], [*FROM_ZERO_BAD, 2**32])),
    "max_header_list_size": ([1, 2**32 - 1], [*COUNTS_BAD, 2**32]),
    **dict.fromkeys(("flow", "max_waiting"), ([1, 10**9, None], OPTIONAL_BAD)),
    **dict.fromkeys(("enable_connect_protocol", "enable_push", "notify_settings_changed"), ([True, False], BOOLS_BAD)),
    **dict.fromkeys(
        ("initial_connection_window_size", "max_connection_window_size"),
        ([65_535, 65_536, LARGEST], [*COUNTS_BAD, 1, 65_534, LARGEST + 1, 65_535.0]),
    ),
    **dict.fromkeys(("initial_stream_window_size", "max_stream_window_size"), ([1, 65_535, LARGEST], [*COUNTS_BAD, LARGEST + 1])),
    "core": (["own", "h2"], ["", "hyper", b"h2", None, True, 2]),
    **CONTENT,
    "glitches_per_second": ([0, 0.5, 33], [-1, -0.5, "5", None, True, float("nan")]),
    "keepalive_tolerance": ([0, 1, None], [-1, 1.0, "1", True]),
    "max_frame_size_received": ([16_384, 2**24 - 1], [*COUNTS_BAD, 16_383, 2**24, 16_384.0]),
    "max_frame_size_sent": ([16_384, 2**24 - 1, None], [*OPTIONAL_BAD, 16_383, 2**24]),
}
#: What Gun has, for options that have the same here; times in seconds.
GUN_2: dict[str, Any] = {
    "closing_timeout": 15.0,
    "flow": None,
    "keepalive": None,
    "keepalive_tolerance": None,
    "notify_settings_changed": False,
    "connection_window_margin_size": 65_535,
    "connection_window_update_threshold": 163_840,
    "enable_connect_protocol": False,
    "initial_connection_window_size": 8_000_000,
    "initial_stream_window_size": 8_000_000,
    "max_connection_window_size": 0x7FFFFFFF,
    "max_concurrent_streams": 100,
    "max_decode_table_size": 4096,
    "max_encode_table_size": 4096,
    "max_fragmented_header_block_size": 32_768,
    "max_frame_size_received": 16_384,
    "max_frame_size_sent": None,
    "max_stream_window_size": 0x7FFFFFFF,
    "preface_timeout": 5.0,
    "settings_timeout": 5.0,
    "stream_window_data_threshold": 16_384,
    "stream_window_margin_size": 65_535,
    "stream_window_update_threshold": 163_840,
}
GUN_2_WS: dict[str, Any] = {
    "closing_timeout": 15.0,
    "compress": False,
    "default_protocol": None,
    "flow": None,
    "keepalive": None,
    "protocols": (),
    "reply_to": None,
    "silence_pings": True,
    "user_opts": None,
}
TCP: dict[str, tuple[list[Any], list[Any]]] = {
    "bind_address": ([("127.0.0.1", 0), ("::1", 80), None], ["127.0.0.1", ("127.0.0.1",), (1, 2), ("a", "1"), ("a", True), ("a", 1, 2)]),
    "keepalive": ([True, False], BOOLS_BAD),
    "nodelay": ([True, False], BOOLS_BAD),
    "send_timeout": ([0.1, 15, None], [*SECONDS_BAD, 0]),
}
TLS: dict[str, tuple[list[Any], list[Any]]] = {
    "ciphers": (["ECDHE", None], [b"ECDHE", 1, ["ECDHE"]]),
    "client_certificate": ([None, "client.pem", object()], []),
    "keylog": (["keys.log", None], [b"keys.log", 1, True]),
    "maximum": (["1.2", "1.3", None], ["1.1", "TLSv1.2", 1.2]),
    "minimum": (["1.2", "1.3"], ["1.1", "TLSv1.2", 1.2, None]),
    "pins": (
        [[], [PIN], [PIN.hex()], (PIN.hex().upper(), PIN)],
        [PIN, PIN.hex(), [b"short"], ["zz" * 32], [1], ["AAAA"], ["é" * 44], None, 5],
    ),
    "quiet": ([True, False], BOOLS_BAD),
    "server_name": (["example.org", None], ["", b"example.org", 1]),
    "trust_root": ([None, "ca.pem", object()], []),
    "verify": ([True, False], BOOLS_BAD),
}
DEFLATE: dict[str, tuple[list[Any], list[Any]]] = {
    **dict.fromkeys(("client_max_window_bits", "server_max_window_bits"), ([8, 9, 15], [*COUNTS_BAD, 7, 16, 8.0, "15"])),
    **dict.fromkeys(("client_no_context_takeover", "server_no_context_takeover"), ([True, False], BOOLS_BAD)),
    "level": ([0, 1, 9], [*FROM_ZERO_BAD, 10]),
    "memory_level": ([1, 9], [*COUNTS_BAD, 10]),
    "threshold": ([0, 1, 10**9], FROM_ZERO_BAD),
}
WS: dict[str, tuple[list[Any], list[Any]]] = {
    **dict.fromkeys(("closing_timeout", "keepalive", "ping_timeout"), ([0.001, 1, 30.0, None], [*SECONDS_BAD, 0])),
    **dict.fromkeys(("max_fragments", "max_message_size"), ([1, 10**9], COUNTS_BAD)),
    **dict.fromkeys(("require_protocol", "silence_pings"), ([True, False], BOOLS_BAD)),
    "compress": (
        [True, False, {}, {"level": 9}, DeflateOptions()],
        [0, 1, None, "yes", ["level"], {"level": 10}, {"levels": 1}, HttpOptions()],
    ),
    "core": (["own", "wsproto"], ["", "h2", b"own", None, True]),
    "default_protocol": ([None, Endpoint, print], [1, "x", {}]),
    "flow": ([1, 10**9, None], OPTIONAL_BAD),
    "protocols": (
        [[], (), ["a"], [b"a"], [("a", None)], [["a", print]], {"a": None, "b": Endpoint}, iter(["a", ("b", print)])],
        [
            *("a", b"a", 1, None, [1], [None], [""], [b""], ["a b"], ["a,b"], ["é"], ["a", "a"], ["a", b"a"], ["a", ("a", print)]),
            *([("a",)], [("a", print, 1)], [("a", 1)], [(1, None)], [((), None)], {"a": 1}),
        ],
    ),
    "reply_to": ([None, print], []),
    "user_opts": ([None, 1, {}], []),
}
#: Where a SOCKS proxy shall lead to.
END = {"host": "example.org", "port": 80}
CONNECTION: dict[str, tuple[list[Any], list[Any]]] = {
    **dict.fromkeys(
        ("connect_timeout", "domain_lookup_timeout", "tls_handshake_timeout", "tunnel_timeout"), ([0, 0.5, 10, None], SECONDS_BAD)
    ),
    "cookie_store": ([None, CookieStore()], [object(), {}, "x", CookieStore]),
    "event_handler": ([None, EventHandler()], [object(), {}, "x", print, EventHandler]),
    "endpoint": ([None, Endpoint()], [object(), "tcp:host=example.org:port=80"]),
    "http_opts": ([{}, {"flow": 1}, HttpOptions()], [None, 1, "x", [("flow", 1)], TcpOptions()]),
    "http2_opts": ([{}, {"flow": 1}, Http2Options()], [None, 1, "x", HttpOptions()]),
    "max_waiting": ([1, 1000], COUNTS_BAD),
    "on_up": ([None, print], [1, "x", {}]),
    "protocols": (
        [
            *(None, ["http"], ("http2", "http"), [("http", {"flow": 1})], [("http", HttpOptions()), ("http2", {"flow": 1})], ["http2"]),
            *(["raw"], [("raw", {"flow": 1})], ["socks"], [("socks", END)]),
        ],
        [
            *("http", b"http", 1, [], {}, {"http": {}}, ["http", "http"], ["spdy"], [b"http"], [("http",)], [("http", {}, 1)]),
            *(["raw", "http"], ["http2", "socks"], ["raw", "raw"], [("socks", END), "http"]),
        ],
    ),
    "proxy": (
        [None, (), [], "env", "http://example.org", b"http://example.org", ["https://a", "socks5://b:1"], ("socks5h://a",)],
        [1, True, "", object(), "example.org", "ftp://example.org", "env:", ["env"], [None], [1], {"http": "http://example.org"}],
    ),
    "proxy_headers": ([(), [], {}, None], [1, "x", [("a",)], [("a b", "c")], {"a": "b\r\n"}, {"a": "b"}]),  # the last for want of a proxy
    "proxy_protocols": ([["http2", "http"], ["http"], ("http2",)], ["http", b"http", None, [], ["raw"], ["http", "http"], [1]]),
    "proxy_mode": (["tunnel", "absolute"], ["", "Tunnel", b"tunnel", None, True, "direct"]),
    "proxy_tls_opts": ([None, {}, {"verify": False}, TlsOptions()], [1, "x", HttpOptions()]),
    "raw_opts": ([{}, {"flow": 1}, RawOptions()], [None, 1, "x", HttpOptions()]),
    "retry": ([0, 5], [-1, 1.0, True, None, "5"]),
    "retry_fun": ([None, lambda left, options: {}], [1, "x", {}]),
    "retry_timeout": ([0, 5, 0.1], [*SECONDS_BAD, None]),
    "socks_opts": ([None, END, SocksOptions(host="example.org", port=1)], [1, "x", {}, {"port": 1}, RawOptions()]),
    "supervise": ([True, False], BOOLS_BAD),
    "tcp_opts": ([{}, {"nodelay": False}, TcpOptions()], [None, 1, HttpOptions()]),
    "tls_opts": ([{}, {"verify": False}, TlsOptions()], [None, 1, HttpOptions()]),
    "trace": ([True, False], BOOLS_BAD),
    "transport": ([None, "tcp", "tls", "ssl"], ["udp", "quic", b"tcp", "", 1]),
    "ws_opts": ([{}, {"compress": True}, WsOptions()], [None, 1, "x", HttpOptions(), {"flow": 0}]),
}


class EveryOptionTests(SynchronousTestCase):
    """Every option of every kind."""

    def check(self, kind: type[Any], prefix: str, table: dict[str, tuple[list[Any], list[Any]]]) -> None:
        """`table` has every option of `kind`; good values are taken, bad ones are refused by name."""
        self.assertEqual({option.name for option in fields(kind)}, set(table))
        for name, (good, bad) in table.items():
            for value in good:
                kind(**{name: value})
            for value in bad:
                error = self.assertRaises(OptionError, kind, **{name: value})
                self.assertTrue(error.option.startswith(prefix + name), (error.option, name, value))
                self.assertIn(prefix + name, str(error))

    def test_http(self) -> None:
        """Those of HTTP/1.1."""
        self.check(HttpOptions, "http_opts.", HTTP)

    def test_coroutines(self) -> None:
        """A callback that is a coroutine function is refused: nobody would await it."""

        class Handler(EventHandler):
            async def request_start(self, event: object) -> None:  # type: ignore[override]
                """Never run."""

        self.assertEqual(self.assertRaises(OptionError, Options, event_handler=Handler()).option, "event_handler")

    def test_of_handlers(self) -> None:
        """A content handler's own option has the handler's name."""
        for options in ({"x": 1}, {"max_line_size": 0}):
            error = self.assertRaises(OptionError, HttpOptions, content_handlers=[(SseHandler, options)])
            self.assertEqual(error.option, f"SseHandler.{next(iter(options))}")

    def test_http2(self) -> None:
        """Those of HTTP/2."""
        self.check(Http2Options, "http2_opts.", HTTP2)

    def test_http2_defaults(self) -> None:
        """They are Gun's where Gun has the option; pushes are off, and the core is ours."""
        options = Http2Options()
        self.assertEqual({name: getattr(options, name) for name in GUN_2}, GUN_2)
        self.assertEqual((options.enable_push, options.core, options.max_waiting), (False, "own", None))

    def test_ws(self) -> None:
        """Those of websockets."""
        self.check(WsOptions, "ws_opts.", WS)

    def test_deflate(self) -> None:
        """Those of their compression."""
        self.check(DeflateOptions, "ws_opts.compress.", DEFLATE)

    def test_ws_defaults(self) -> None:
        """They are Gun's where Gun has the option; what is received is bounded, and a peer that is gone is seen."""
        options = WsOptions()
        self.assertEqual({name: getattr(options, name) for name in GUN_2_WS}, GUN_2_WS)
        self.assertEqual((options.max_message_size, options.max_fragments, options.ping_timeout), (2**24, 10_000, 20.0))
        self.assertEqual((options.core, options.require_protocol, options.deflate), ("own", False, None))

    def test_tcp(self) -> None:
        """Those of the socket."""
        self.check(TcpOptions, "tcp_opts.", TCP)

    def test_tls(self) -> None:
        """Those of TLS."""
        self.check(TlsOptions, "tls_opts.", TLS)

    def test_connection(self) -> None:
        """Those of the connection."""
        self.check(Options, "", CONNECTION)

    def test_protocols_of_another_type(self) -> None:
        """What is no name of a protocol, nor a pair, is refused by name too."""
        bad: list[Any] = [[1], [None], ["http", 5], [(["http"], None)], [({}, {})]]
        for value in bad:
            self.assertEqual(self.assertRaises(OptionError, Options, protocols=value).option, "protocols")

    def test_value_error(self) -> None:
        """The error is a `GunError`, a `ValueError`, and shows the value."""
        error = self.assertRaises(ValueError, HttpOptions, flow=-7)
        self.assertIsInstance(error, GunError)
        self.assertEqual(str(error), "http_opts.flow: expected a whole number >= 1, or None for no limit, not -7")

    def test_frozen(self) -> None:
        """Options are values: they cannot be set, and are equal where all of them are."""
        for kind in (HttpOptions, Http2Options, RawOptions, TcpOptions, TlsOptions, WsOptions, DeflateOptions, Options):
            self.assertRaises(FrozenInstanceError, setattr, kind(), fields(kind)[0].name, None)
            self.assertEqual(kind(), kind())
            self.assertRaises(TypeError, kind, 1.0)


class NestedTests(SynchronousTestCase):
    """Options within options."""

    def test_mapping(self) -> None:
        """A dict makes the options."""
        options = Options(http_opts={"flow": 3}, tcp_opts={"nodelay": False}, tls_opts={"minimum": "1.3"})  # type: ignore[arg-type]
        self.assertEqual((options.http_opts, options.tcp_opts), (HttpOptions(flow=3), TcpOptions(nodelay=False)))
        self.assertEqual(options.tls_opts, TlsOptions(minimum="1.3"))

    def test_dotted_names(self) -> None:
        """A bad one within has its dotted name; an unknown one as well."""
        for given, name in (
            ({"http_opts": {"flow": 0}}, "http_opts.flow"),
            ({"http_opts": {"flaw": 1}}, "http_opts.flaw"),
            ({"http2_opts": {"max_streams": 0}}, "http2_opts.max_streams"),
            ({"http2_opts": {"priority": 1}}, "http2_opts.priority"),
            ({"protocols": [("http2", {"core": "c"})]}, "http2_opts.core"),
            ({"tcp_opts": {"send_timeout": 0}}, "tcp_opts.send_timeout"),
            ({"ws_opts": {"flow": 0}}, "ws_opts.flow"),
            ({"ws_opts": {"masks": 1}}, "ws_opts.masks"),
            ({"ws_opts": {"compress": {"level": 10}}}, "ws_opts.compress.level"),
            ({"ws_opts": {"compress": {"levels": 1}}}, "ws_opts.compress.levels"),
            ({"tls_opts": {"verify": None}}, "tls_opts.verify"),
            ({"tls_opts": {"cacerts": 1}}, "tls_opts.cacerts"),
            ({"protocols": [("http", {"flow": 0})]}, "http_opts.flow"),
            ({"protocols": [("http", 5)]}, "http_opts"),
        ):
            self.assertEqual(self.assertRaises(OptionError, Options, **given).option, name)

    def test_protocols(self) -> None:
        """Protocols become pairs; their own options are made as well."""
        options = Options(protocols=["http2", ("http", {"flow": 2})])  # type: ignore[arg-type]
        self.assertEqual(options.protocols, (("http2", None), ("http", HttpOptions(flow=2))))
        self.assertEqual(options.alpn, (b"h2", b"http/1.1"))
        self.assertEqual(Options().alpn, ())

    def test_compress(self) -> None:
        """What is offered of permessage-deflate: nothing, the defaults, or what is said."""
        for compress, deflate in (
            (False, None),
            (True, DeflateOptions()),
            ({}, DeflateOptions()),
            ({"level": 9, "threshold": 64}, DeflateOptions(level=9, threshold=64)),
            (DeflateOptions(memory_level=1), DeflateOptions(memory_level=1)),
        ):
            self.assertEqual(WsOptions(compress=compress).deflate, deflate)

    def test_subprotocols(self) -> None:
        """Subprotocols become pairs of a name, as bytes, and what is to handle them, if anything is."""
        given: list[Any] = ["a", b"b", ("c", None), ["d", print], (b"e", Endpoint)]
        made = ((b"a", None), (b"b", None), (b"c", None), (b"d", print), (b"e", Endpoint))
        self.assertEqual(WsOptions(protocols=given).protocols, made)  # type: ignore[arg-type]
        self.assertEqual(WsOptions(protocols={"a": print}).protocols, ((b"a", print),))  # type: ignore[arg-type]

    def test_pins(self) -> None:
        """A digest in any spelling is its 32 bytes."""
        import base64

        encoded = base64.b64encode(PIN).decode()
        pins = TlsOptions(pins=[PIN, PIN.hex(), encoded, f"sha256//{encoded}"]).pins  # type: ignore[arg-type]
        self.assertEqual(pins, (PIN,) * 4)


#: What is spoken where nothing is said.
PROTOCOLS = {"tcp": ["http"], "tls": ["http2", "http"]}


class SettledTests(SynchronousTestCase):
    """What depends on the port."""

    def test_transport(self) -> None:
        """TLS on port 443, or where asked for."""
        for transport, port, expected in (
            (None, 443, "tls"),
            (None, 80, "tcp"),
            (None, 8443, "tcp"),
            ("tcp", 443, "tcp"),
            ("tls", 80, "tls"),
            ("ssl", 80, "tls"),
        ):
            settled = Options(transport=transport).settled(port)
            self.assertEqual((settled.transport, [name for name, _ in settled.protocols or ()]), (expected, PROTOCOLS[expected]))

    def test_own_http_options(self) -> None:
        """What has no options of its own has those of the connection."""
        settled = Options(http_opts=HttpOptions(flow=5)).settled(80)
        self.assertEqual(settled.protocols, (("http", HttpOptions(flow=5)),))
        settled = Options(http2_opts=Http2Options(flow=6), protocols=("http2", ("http", {"flow": 7}))).settled(443)
        self.assertEqual(settled.protocols, (("http2", Http2Options(flow=6)), ("http", HttpOptions(flow=7))))

    def test_does_not_fit(self) -> None:
        """Several protocols need TLS to choose; SOCKS needs to know where to."""
        for protocols, port, option in (
            (("http2", "http"), 80, "protocols"),
            (("socks",), 80, "socks_opts"),
            (("socks",), 443, "socks_opts"),
        ):
            error = self.assertRaises(OptionError, Options(protocols=protocols).settled, port)
            self.assertEqual(error.option, option)
        self.assertEqual(Options(protocols=("http2", "http")).settled(443).alpn, (b"h2", b"http/1.1"))


class MakeOptionsTests(SynchronousTestCase):
    """What `open` is given."""

    def test_keywords(self) -> None:
        """Keywords change what the options say."""
        self.assertEqual(make_options(None, {"retry": 1}, 80), Options(retry=1))
        self.assertEqual(make_options(Options(retry=1, trace=True), {"retry": 2}, 80), Options(retry=2, trace=True))
        self.assertEqual(make_options(None, {}, 80), Options())

    def test_refused(self) -> None:
        """Unknown names, names of a later version, and bad values are refused by name."""
        for keywords, option in (({"retries": 1}, "retries"), ({"cookie_store": {}}, "cookie_store"), ({"retry": -1}, "retry")):
            self.assertEqual(self.assertRaises(OptionError, make_options, None, keywords, 80).option, option)
        self.assertEqual(self.assertRaises(OptionError, make_options, {"retry": 1}, {}, 80).option, "options")

    def test_transport_opts(self) -> None:
        """Gun 1's ``transport_opts`` are those of the transport there is."""
        for options, keywords, port, name in (
            (None, {}, 80, "tcp_opts"),
            (None, {}, 443, "tls_opts"),
            (None, {"transport": "tls"}, 80, "tls_opts"),
            (None, {"transport": "ssl"}, 80, "tls_opts"),
            (Options(transport="tcp"), {}, 443, "tcp_opts"),
            (Options(transport="tls"), {}, 80, "tls_opts"),
        ):
            value = {"nodelay": False} if name == "tcp_opts" else {"verify": False}
            made = make_options(options, {**keywords, "transport_opts": value}, port)
            self.assertEqual(getattr(made, name), TcpOptions(nodelay=False) if name == "tcp_opts" else TlsOptions(verify=False))
        both: dict[str, Any] = {"transport_opts": {}, "tcp_opts": {}}
        self.assertEqual(self.assertRaises(OptionError, make_options, None, both, 80).option, "transport_opts")

"""The page for those who come from Erlang: its names of ours exist, each public one stands there, and nothing of Gun's is missing."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

import twisted_gun as gun
from twisted_gun import observations, websocket
from twisted_gun.errors import OptionError
from twisted_gun.options import make_options
from twisted_gun.request import RequestOptions, check_request_options
from twisted_gun.websocket import connection, message

PAGE = Path(__file__).resolve().parent.parent / "docs" / "porting-from-erlang.rst"

TABLE = re.compile(r"^\.\. csv-table:: (.+)\n((?:   :.+\n)+)\n((?:   .+\n)+)", re.MULTILINE)
LITERAL = re.compile(r"``(.+?)``")
NAME = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)(?:\(((?:\w+=(?:, )?)+)\))?")

#: Whose fields all stand on the page.
OPTIONS = [getattr(gun, name) for name in gun.__all__ if name.endswith("Options")] + [gun.Destination]


class NoSuchName(Exception):
    """A name that the page has and the package has not."""


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by its title; each row as its cells."""
    return {
        title: [[cell.strip() for cell in row.split(" | ")] for row in rows.strip("\n").splitlines()]
        for title, _, rows in TABLE.findall(page)
    }


def names(cell: str) -> list[str]:
    """The names in a cell, literals each."""
    found: list[str] = LITERAL.findall(cell)
    return found


def resolve(name: str) -> Any:
    """
    What a name of ours, as ``Stream.data`` or ``gun.open(owner=)``, is; raises `NoSuchName`.

    A class may be named alone; ``gun`` is the package, and ``observations`` and ``websocket`` are its modules.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise NoSuchName(f"{name} is no name")
    parts = match[1].split(".")
    if parts[0] == "gun":
        found: Any = gun
    elif parts[0] in ("observations", "websocket"):
        found = {"observations": observations, "websocket": websocket}[parts[0]]
    else:
        found = _member(gun, parts[0])
    for part in parts[1:]:
        found = _member(found, part)
    for parameter in re.findall(r"\w+", match[2] or ""):
        if not _takes(found, parameter):
            raise NoSuchName(f"{name}: there is no {parameter}")
    return found


def _member(owner: Any, name: str) -> Any:
    if isinstance(owner, InterfaceClass):
        if name in owner.names(all=True):
            return owner[name]
    elif name in getattr(owner, "__dataclass_fields__", {}):
        return owner.__dataclass_fields__[name]
    elif hasattr(owner, name) and (not inspect.ismodule(owner) or not hasattr(owner, "__all__") or _public(owner, name)):
        return getattr(owner, name)
    raise NoSuchName(f"{owner} has no {name}")


def _public(module: Any, name: str) -> bool:
    return name in module.__all__ or inspect.ismodule(getattr(module, name))


def _takes(function: Any, parameter: str) -> bool:
    """Whether `function` takes it by this name, among its options too."""
    parameters = inspect.signature(function).parameters
    if parameter in parameters:
        return parameters[parameter].kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if "request_options" in parameters:
        return _known(check_request_options, {parameter: object()}, RequestOptions(None, None))
    if "keywords" in parameters:
        return _known(make_options, None, {parameter: object()}, 80)
    return function is websocket.attach and _known(websocket.attach, **{parameter: object()})


def _known(function: Any, *arguments: Any, **options: Any) -> bool:
    """Whether it knows the option's name, whatever it thinks of the value."""
    try:
        function(*arguments, **options)
    except (OptionError, gun.InvalidRequest) as error:
        return not re.match(r"\w+: expected one of the (request )?options ", str(error))
    return True


def listed(text: str) -> list[str]:
    """The lines of `text`, without their margin."""
    return [line.strip() for line in text.strip().splitlines()]


def arities(text: str) -> list[str]:
    """``get 2 3`` as get/2 and get/3."""
    return [f"{name}/{arity}" for name, *numbers in map(str.split, listed(text)) for arity in numbers]


#: Everything that Gun 2.4 and the older documents have, by the title of its table.
EXPECTED: dict[str, list[str]] = {
    "Functions": arities("""
        open 2 3
        open_unix 2
        set_owner 2
        info 1
        close 1
        shutdown 1
        delete 2 3 4
        get 2 3 4
        head 2 3 4
        options 2 3 4
        patch 3 4 5
        post 3 4 5
        put 3 4 5
        headers 4 5
        request 5 6
        data 4
        ping 1 2
        connect 2 3 4
        await 2 3 4
        await_body 2 3 4
        await_up 1 2 3
        flush 1
        update_flow 3
        cancel 2
        stream_info 2
        ws_upgrade 2 3 4
        ws_send 3
    """),
    "Information": """
        owner socket transport state_name origin_scheme origin_host origin_port intermediaries cookie_store event_handler
        event_handler_state sock_ip sock_port protocol ref reply_to state tunnel
    """.split(),
    "Options of the connection": """
        connect_timeout cookie_store domain_lookup_timeout event_handler http_opts http2_opts http3_opts protocols raw_opts retry
        retry_fun retry_timeout socks_opts supervise tcp_opts tls_handshake_timeout tls_opts trace transport ws_opts
    """.split(),
    "Options of HTTP/1.1": """
        closing_timeout content_handlers cookie_ignore_informational flow keepalive max_header_block_size max_trailer_block_size
        transform_header_name version
    """.split(),
    "Options of HTTP/2": """
        closing_timeout content_handlers cookie_ignore_informational flow keepalive keepalive_tolerance notify_settings_changed
        connection_window_margin_size connection_window_update_threshold enable_connect_protocol initial_connection_window_size
        initial_stream_window_size max_connection_window_size max_concurrent_streams max_decode_table_size max_encode_table_size
        max_fragmented_header_block_size max_frame_size_received max_frame_size_sent max_stream_window_size preface_timeout
        settings_timeout stream_window_data_threshold stream_window_margin_size stream_window_update_threshold
    """.split(),
    "Options of websockets": """
        closing_timeout compress default_protocol flow keepalive protocols reply_to silence_pings user_opts tunnel
        invalid_request_headers
    """.split(),
    "Options of SOCKS": "version auth host port protocols transport tls_opts tls_handshake_timeout".split(),
    "Options of raw": ["flow"],
    "Destination of connect": "host port username password protocols transport tls_opts tls_handshake_timeout".split(),
    "Options of a request": "flow invalid_request_headers reply_to tunnel".split(),
    "Messages": listed("""
        {gun_up, ConnPid, Protocol}
        {gun_tunnel_up, ConnPid, StreamRef, Protocol}
        {gun_down, ConnPid, Protocol, Reason, KilledStreams}
        {gun_notify, ConnPid, settings_changed, SettingsMap}
        {gun_notify, ConnPid, ping_ack, PingRef}
        {gun_upgrade, ConnPid, StreamRef, Protocols, Headers}
        {gun_error, ConnPid, StreamRef, Reason}
        {gun_error, ConnPid, Reason}
        {gun_push, ConnPid, StreamRef, NewStreamRef, Method, URI, Headers}
        {gun_inform, ConnPid, StreamRef, Status, Headers}
        {gun_response, ConnPid, StreamRef, IsFin, Status, Headers}
        {gun_data, ConnPid, StreamRef, IsFin, Data}
        {gun_sse, ConnPid, StreamRef, Event}
        {gun_trailers, ConnPid, StreamRef, Headers}
        {gun_ws, ConnPid, StreamRef, Frame}
        {'DOWN', MRef, process, ConnPid, Reason}
    """),
    "Results of await": listed("""
        {inform, Status, Headers}
        {response, IsFin, Status, Headers}
        {data, IsFin, Data}
        {sse, Event}
        {trailers, Headers}
        {push, NewStreamRef, Method, URI, Headers}
        {upgrade, Protocols, Headers}
        {ws, Frame}
        {up, Protocol}
        {notify, Type, Info}
        {error, {stream_error, Reason}}
        {error, {connection_error, Reason}}
        {error, {down, Reason}}
        {error, timeout}
        {ok, Body}
        {ok, Body, Trailers}
        {ok, Protocol}
    """),
    "Reasons": listed("""
        {badstate, "The stream cannot be found."}
        {badstate, "The stream has already been closed."}
        {badstate, "The stream is not a tunnel."}
        {badstate, "CONNECT can only be used with HTTP/1.1 when no other streams are active."}
        {badstate, "Websocket cannot be used over an HTTP/1.0 connection."}
        {badstate, "This connection only accepts Websocket frames."}
        {badstate, "This connection does not accept new requests to be opened nor does it accept Websocket frames."}
        {badstate, "This connection does not currently accept Websocket frames. \
The Websocket upgrade was not performed. This may happen as a result of automatic reconnect."}
        {badstate, "The owner of the connection cannot be changed when the connection is shutting down."}
        closing
        {closing, Reason}
        closed
        {closed, Reason}
        {stream_error, Code, 'Stream reset by server.'}
        {stream_error, too_many_streams, 'Maximum concurrency limit has been reached.'}
        {stream_error, Reason, Human}
        {stream_error, Reason, 'Tunnel closed unexpectedly.'}
        {stream_error, cancel, 'The sec-websocket-extensions header is invalid. (RFC6455 9.1, RFC7692 7)'}
        {stream_error, cancel, 'The sec-websocket-protocol header is invalid. (RFC6455 4.1)'}
        {goaway, Code, 'The connection is going away.'}
        {connection_error, limit_reached, Text}
        {connection_error, protocol_error, "Unexpected 101 Switching Protocols response."}
        {Reason, Human}
        normal
        {error, Posix}
        {shutdown, Reason}
        {tls_alert, Alert}
        {error, {socks5, Reason}}
        {error, {ping_unsupported_by_protocol, PingRef}}
        {error, badframe}
        badarg
        {options, Option}
        {invalid_request_header, Name, Text}
    """),
    "Frames": listed("""
        {text, Text}
        {binary, Data}
        ping
        {ping, Data}
        pong
        {pong, Data}
        close
        {close, Data}
        {close, Code, Data}
    """),
    "Events": listed("""
        init(owner, transport, origin_scheme, origin_host, origin_port, opts)
        domain_lookup_start(host, port, tcp_opts, timeout)
        domain_lookup_end(host, port, tcp_opts, timeout, lookup_info, error)
        connect_start(lookup_info, timeout)
        connect_end(lookup_info, timeout, socket, protocol, error)
        tls_handshake_start(stream_ref, reply_to, socket, tls_opts, timeout)
        tls_handshake_end(stream_ref, reply_to, socket, tls_opts, timeout, protocol, error)
        request_start(stream_ref, reply_to, function, method, scheme, authority, path, headers)
        request_headers(stream_ref, reply_to, function, method, scheme, authority, path, headers)
        request_end(stream_ref, reply_to)
        push_promise_start(stream_ref, reply_to)
        push_promise_end(stream_ref, reply_to, promised_stream_ref, method, uri, headers)
        response_start(stream_ref, reply_to)
        response_inform(stream_ref, reply_to, status, headers)
        response_headers(stream_ref, reply_to, status, headers)
        response_trailers(stream_ref, reply_to, headers)
        response_end(stream_ref, reply_to)
        ws_upgrade(stream_ref, reply_to, opts)
        ws_recv_frame_start(stream_ref, reply_to, frag_state, extensions)
        ws_recv_frame_header(stream_ref, reply_to, frag_state, extensions, type, rsv, len, mask_key)
        ws_recv_frame_end(stream_ref, reply_to, extensions, close_code, payload)
        ws_send_frame_start(stream_ref, reply_to, extensions, frame)
        ws_send_frame_end(stream_ref, reply_to, extensions, frame)
        protocol_changed(stream_ref, protocol)
        origin_changed(stream_ref, type, origin_scheme, origin_host, origin_port)
        cancel(stream_ref, reply_to, endpoint, reason)
        disconnect(reason)
        terminate(state, reason)
        gun_default_event_h
    """),
    "Handlers": listed("""
        gun_content_handler
        gun_content_handler:init/5
        gun_content_handler:handle/3
        gun_data_h
        gun_sse_h
        last_event_id
        event_type
        data
        gun_ws_protocol
        gun_ws_protocol:init/4
        gun_ws_protocol:handle/2
        gun_ws_h
    """),
    "Cookies": listed("""
        gun_cookies
        gun_cookies:init/1
        gun_cookies:query/2
        gun_cookies:set_cookie/5
        gun_cookies:gc/1
        gun_cookies:session_gc/1
        gun_cookies:domain_match/2
        gun_cookies:path_match/2
        gun_cookies:store/2
        gun_cookies:set_cookie_secure_match/2
        gun_cookies:set_cookie_get_exact_match/2
        gun_cookies_list
        uri_string:uri_map()
        name
        value
        domain
        path
        creation_time
        last_access_time
        expiry_time
        persistent
        host_only
        secure_only
        http_only
        same_site
    """),
    "Pools": [
        *arities("""
            start_pool 3
            stop_pool 2 3
            info 0 1 2
            await_up 1 2
            checkout 2
            delete 2 3
            get 2 3
            head 2 3
            options 2 3
            patch 2 3 4
            post 2 3 4
            put 2 3 4
            headers 3 4
            request 4 5
            data 3
            await 1 2 3
            await_body 1 2 3
            flush 1
            update_flow 2
            cancel 1
            stream_info 1
            ws_send 2
        """),
        *"conn_opts scope setup_fun size transport authority flow reply_to".split(),
        *"checkout_call_timeout checkout_retry start_pool_if_missing".split(),
        *listed("""
            {async, {ConnPid, StreamRef}}
            {error, pool_not_found, Text}
            {error, no_connection_available, Text}
            {setup, State}
            {up, Protocol, Meta}
            degraded
            operational
        """),
    ],
    "Types": listed("""
        opts()
        http_opts()
        http2_opts()
        http3_opts()
        ws_opts()
        raw_opts()
        socks_opts()
        connect_destination()
        req_opts()
        stream_ref()
        req_headers()
        resp_headers()
        ws_frame()
        reply_to()
        intermediary()
        tunnel_info()
    """),
    "Gun 1": listed("""
        transport_opts
        transport => ssl
        keepalive => 5000
        request/4
        ws_send/2
        {gun_down, ConnPid, Protocol, Reason, KilledStreams, UnprocessedStreams}
        {gun_push, ConnPid, StreamRef, NewStreamRef, URI, Headers}
        {gun_ws_upgrade, ConnPid, ok, Headers}
        {gun_ws, ConnPid, Frame}
        Status = binary()
        protocol
    """),
    "gluegun": [
        *"Options Socket UpgradeOptions options upgrade_options".split(),
        *"with_connect_options with_headers with_timeout with_upgrade_options with_closing_timeout with_compress".split(),
        *"with_default_protocol_module with_flow with_keepalive with_protocol_module with_reply_to_dynamic".split(),
        *"with_silence_pings with_tunnel_dynamic with_user_opts_dynamic".split(),
        *"upgrade upgrade_with_options upgrade_with_protocol upgrade_with_protocol_and_options await_upgrade".split(),
        *"receive receive_frame receive_app_frame send send_many send_frame send_text send_binary ping pong close".split(),
        *"connect with_socket".split(),
        *(f"message.{name}" for name in "Text Binary Ping Pong Close CloseWithReason".split()),
        *(f"connection.{name}" for name in "options open await_up Milliseconds Infinity Protocol".split()),
        *"error.Timeout error.InvalidMessage".split(),
    ],
    "ReqWebSocket": [
        *"attach/2 parse_message/2 send_frame/2 send_frames/2 close/1 :close :ping :pong".split(),
        *("{:binary, binary}", "{:close, code, reason}", "{:ping, binary}", "{:pong, binary}", "{:text, text}"),
        *":url :headers :base_url :params :path_params :path_params_style :auth :aws_sigv4 :into".split(),
        *":redirect :redirect_trusted :max_redirects :http_errors :retry :retry_delay :retry_log_level :max_retries".split(),
        *":connect_options :timeout :protocols :hostname :transport_opts :proxy_headers :proxy :client_settings".split(),
    ],
}


class PortingTests(SynchronousTestCase):
    """docs/porting-from-erlang.rst."""

    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")
        self.tables = tables(self.page)
        ours = [cells for title, rows in self.tables.items() if title not in ("Only here", "Left out") for cells in rows]
        #: Our names in the middle column, and the first one of the tables of what is only here.
        self.ours = [name for cells in ours for name in names(cells[1])] + [
            name for cells in self.tables["Only here"] for name in names(cells[0])
        ]

    def test_nothing_is_missing(self) -> None:
        """Each function by all its arities, option, message, result, reason, callback, type has a row, once; and nothing else has."""
        for title, expected in EXPECTED.items():
            found = [name for cells in self.tables[title] for name in names(cells[0])]
            self.assertEqual(sorted(found), sorted(expected), title)
        self.assertEqual(set(self.tables) - set(EXPECTED), {"Only here", "Left out"})

    def test_rows(self) -> None:
        """A row says what ours is, or that there is none, and in what it differs."""
        for title in EXPECTED:
            for cells in self.tables[title]:
                self.assertEqual(len(cells), 3, cells)
                self.assertTrue(names(cells[1]) or cells[1] == "none", cells)
                self.assertEqual(re.sub(LITERAL, "", cells[1]).strip(), "none" if cells[1] == "none" else "", cells)
                self.assertTrue(cells[2], cells)

    def test_names_exist(self) -> None:
        """Every name of ours is one of the package's."""
        for name in self.ours:
            resolve(name)

    def test_public_names(self) -> None:
        """Every public name stands there."""
        shown = {part for name in self.ours for part in re.split(r"\W+", name.partition("(")[0])[:2]}
        self.assertEqual(sorted(set(gun.__all__) - shown), [])

    def test_every_option(self) -> None:
        """So does every field of the classes of options."""
        missing = [
            f"{kind.__name__}.{option.name}"
            for kind in OPTIONS
            for option in dataclasses.fields(kind)
            if f"{kind.__name__}.{option.name}" not in self.ours
        ]
        self.assertEqual(missing, [])

    def test_fields_of_events(self) -> None:
        """Each field that Gun gives a callback is an attribute of what ours is given, but for one that Gun never sets."""
        names_of_ours = {"stream_ref": "stream", "promised_stream_ref": "promised_stream"}
        missing = []
        for callback in EXPECTED["Events"]:
            name, _, rest = callback.partition("(")
            if rest:
                told = get_type_hints(getattr(gun.EventHandler, name))["event"]
                given = [names_of_ours.get(one, one) for one in rest.rstrip(")").split(", ")]
                missing += [(name, one) for one in given if not hasattr(told, one)]
        self.assertEqual(missing, [("request_start", "scheme"), ("request_headers", "scheme")])

    def test_callbacks(self) -> None:
        """The callbacks are those of the interface, all 28."""
        callbacks = [name.partition("(")[0] for name in EXPECTED["Events"] if "(" in name]
        self.assertEqual(sorted(callbacks), sorted(gun.IEventHandler.names()))
        self.assertEqual(len(callbacks), 28)

    def test_helpers(self) -> None:
        """So does every function of the websocket helpers."""
        for module, prefix in ((websocket, "websocket"), (connection, "websocket.connection"), (message, "websocket.message")):
            functions = [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]
            self.assertEqual([name for name in functions if f"{prefix}.{name}" not in "\n".join(self.ours)], [])


class ResolveTests(SynchronousTestCase):
    """The look-up itself: it finds what there is, and nothing else."""

    def test_found(self) -> None:
        """Names of the package, members, fields, methods of interfaces, parameters and options."""
        self.assertIs(resolve("gun.Stream"), gun.Stream)
        self.assertIs(resolve("Stream.data"), gun.Stream.data)
        self.assertEqual(resolve("Options.retry").default, gun.Options().retry)
        self.assertEqual(resolve("IReceiver.gun_up").getName(), "gun_up")
        for name in (
            *("gun.open(owner=)", "gun.open(retry=)", "gun.Up(connection=, protocol=)", "gun.TimedOut(stage=)"),
            *("Connection.get(tunnel=)", "websocket.attach(url=)", "websocket.connection.open"),
        ):
            resolve(name)

    def test_not_found(self) -> None:
        """What is misspelt, private, no parameter, or no name at all."""
        for name in (
            *("gun.Steam", "Stream.date", "Options.retries", "IReceiver.gun_down_up", "gun.dataclass", "websocket.Any"),
            *("gun.open(onwer=)", "gun.Up(stream=)", "Connection.get(path_params=)", "websocket.attach(urls=)"),
            *("Stream.data(", "http://example.org", ""),
        ):
            self.assertRaises(NoSuchName, resolve, name)

    def test_tables(self) -> None:
        """Tables are read row by row."""
        page = (
            ".. csv-table:: Frames\n   :delim: |\n   :header: Gun, Here\n\n   ``ping`` | ``gun.Ping`` | same\n   ``a`` ``b`` | none | why\n"
        )
        self.assertEqual(tables(page), {"Frames": [["``ping``", "``gun.Ping``", "same"], ["``a`` ``b``", "none", "why"]]})

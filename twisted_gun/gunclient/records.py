"""
Events as lines of JSON: the schema of ``twistd gunclient``'s output, which docs/guide/service.rst describes and which stays as it is.

Every line is an object with ``time`` and ``event``. Fields may be added; none is taken away or gets another meaning.
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError
from twisted_gun.events import (
    Binary,
    Close,
    Data,
    Down,
    Error,
    Headers,
    Inform,
    Notify,
    Push,
    Response,
    Sse,
    Text,
    Trailers,
    TunnelUp,
    Up,
    Upgrade,
    Ws,
    shown_headers,
)
from twisted_gun.headers import authority
from twisted_gun.stream import Stream

__all__ = ["Records"]

_Fields = dict[str, Any]


class Records:
    """
    Makes lines of events; `now` gives the time in seconds since 1970. Without `data` no line holds what a server sent as content.

    A stream is told of by a number, from its first event to its last.
    """

    def __init__(self, now: Callable[[], float], *, data: bool = True) -> None:
        self._now = now
        self._data = data
        self._last_number = 0
        # Weakly, for a stream that is cancelled has no last event.
        self._numbers: WeakKeyDictionary[Stream, int] = WeakKeyDictionary()
        self._texts: WeakKeyDictionary[Stream, Any] = WeakKeyDictionary()  # what reads their content as text, as long as it is

    def line(self, event: str, **fields: Any) -> bytes:
        """A line about `event`; fields that are None are left out."""
        time = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        told = {"time": time, "event": event, **{name: value for name, value in fields.items() if value is not None}}
        # What is no text in UTF-8, a lone surrogate, is written as JSON's escape for it.
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"

    def request(self, stream: Stream, method: str, path: str) -> bytes:
        """A line about a request that was made; what is behind the "?" may be secret."""
        return self.line("request", request=self._number(stream), method=method, path=path.partition("?")[0])

    def of(self, event: Any) -> bytes:
        """A line about `event`, one that a receiver is told."""
        name, fields = _NAMES[type(event)], _MAKERS[type(event)](self, event)
        stream = getattr(event, "stream", None)
        number = {} if stream is None else {"request": self._number(stream)}
        line = self.line(fields.pop("event", name), **number, **fields)
        if stream is not None and event.fin:
            self._numbers.pop(stream, None)
            self._texts.pop(stream, None)
        return line

    def _number(self, stream: Stream) -> int:
        if stream not in self._numbers:
            self._last_number += 1
            self._numbers[stream] = self._last_number
        return self._numbers[stream]

    # What is told of each.

    def _up(self, event: Up) -> _Fields:
        return {"protocol": event.protocol, **_way(event.connection)}

    def _down(self, event: Down) -> _Fields:
        return {
            "protocol": event.protocol,
            **_reason(event.reason),
            "killed": len(event.killed_streams),
            "unprocessed": len(event.unprocessed_streams),
        }

    def _error(self, event: Error) -> _Fields:
        return _reason(event.reason)

    def _notify(self, event: Notify) -> _Fields:
        info = event.info
        if isinstance(info, Mapping):
            info = {str(name): value if isinstance(value, (int, float, str)) else repr(value) for name, value in info.items()}
        return {"type": event.type, "info": info if isinstance(info, (dict, int, float, str)) else repr(info)}

    def _head(self, event: Response | Inform) -> _Fields:
        return {"status": event.status, "headers": _headers(event.headers), "fin": event.fin}

    def _content(self, event: Data) -> _Fields:
        fields = {} if not self._data else self._as_text(event) if event.stream in self._texts or event.data else {"text": ""}
        return {"size": len(event.data), **fields, "fin": event.fin}

    def _as_text(self, event: Data) -> _Fields:
        """Content is told as text as long as it is in UTF-8; a letter that is cut in two is told with its last part."""
        stream = event.stream
        if stream not in self._texts:
            self._texts[stream] = codecs.getincrementaldecoder("utf-8")()
        decoder = self._texts[stream]
        if decoder is None:
            return {"base64": _base64(event.data)}
        before = decoder.getstate()[0]
        try:
            return {"text": decoder.decode(event.data, event.fin)}
        except UnicodeDecodeError:
            self._texts[stream] = None
            return {"base64": _base64(before + event.data)}

    def _trailers(self, event: Trailers) -> _Fields:
        return {"headers": _headers(event.headers)}

    def _push(self, event: Push) -> _Fields:
        uri = event.uri.decode("latin-1").partition("?")[0]
        return {"pushed": self._number(event.pushed_stream), "method": event.method.decode("latin-1"), "uri": uri}

    def _upgrade(self, event: Upgrade) -> _Fields:
        return {"protocols": [name.decode("latin-1") for name in event.protocols], "headers": _headers(event.headers)}

    def _tunnel_up(self, event: TunnelUp) -> _Fields:
        return {"protocol": event.protocol}

    def _ws(self, event: Ws) -> _Fields:
        frame = event.frame
        fields: _Fields = {"type": type(frame).__name__.lower()}
        if isinstance(frame, Close):
            return {**fields, "code": frame.code, "reason": frame.reason}
        if isinstance(frame, Text):
            return {**fields, "size": len(frame.text.encode()), **({"text": frame.text} if self._data else {})}
        shown = {"base64": _base64(frame.data)} if self._data or not isinstance(frame, Binary) else {}
        return {**fields, "size": len(frame.data), **shown}

    def _sse(self, event: Sse) -> _Fields:
        told = event.event
        if told is None:
            return {"event": "sse_end"}
        size = None if told.data is None else len(told.data.encode())
        return {"type": told.event_type, "id": told.last_event_id, "size": size, "text": told.data if self._data else None}


_MAKERS: dict[Any, Callable[[Records, Any], _Fields]] = {
    Up: Records._up,
    Down: Records._down,
    Error: Records._error,
    Notify: Records._notify,
    Inform: Records._head,
    Response: Records._head,
    Data: Records._content,
    Trailers: Records._trailers,
    Push: Records._push,
    Upgrade: Records._upgrade,
    TunnelUp: Records._tunnel_up,
    Ws: Records._ws,
    Sse: Records._sse,
}
_NAMES: dict[Any, str] = {kind: kind.told_as.removeprefix("gun_") for kind in _MAKERS}


def _reason(reason: GunError | None) -> _Fields:
    return {} if reason is None else {"reason": str(reason), "kind": type(reason).__name__}


def _headers(headers: Headers) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in shown_headers(headers)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _way(connection: Connection) -> _Fields:
    """How the server is reached: its address, TLS, proxies."""
    info = connection.info()
    fields: _Fields = {}
    peer: Any = info.peer
    if hasattr(peer, "host"):
        fields["peer"] = authority(peer.host, peer.port, 0).decode()
    if info.tls is not None:
        fields["tls"] = {"version": info.tls.version, "cipher": info.tls.cipher}
    if info.intermediaries:
        fields["proxies"] = [authority(each.host, each.port, 0).decode() for each in info.intermediaries]
    return fields

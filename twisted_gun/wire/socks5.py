"""
SOCKS5 (RFC 1928), and its authentication by username and password (RFC 1929): the client's side, and of its commands CONNECT.

A dialogue of at most three questions, each asked once the one before it is answered; behind the last answer the whole connection is the
tunnel. Names are looked up by the proxy, never here. How long the proxy may take for its answers is for whoever asks to say.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from twisted_gun.errors import BadState, ConnectionFailed, GunError, InvalidRequest, ProtocolViolation, ProxyFailed
from twisted_gun.options import SocksOptions
from twisted_gun.wire.core import Losses, Reader, Request
from twisted_gun.wire.steps import Close, Pause, Resume, Steps, StreamFailed, TunnelClosed, TunnelData, TunnelOpened, Write

__all__ = ["Socks5"]

#: RFC 1928 section 3.
_VERSION: Final = 5
_NO_AUTHENTICATION, _USERNAME_PASSWORD, _NONE_ACCEPTABLE = 0x00, 0x02, 0xFF
#: RFC 1929 section 2: "the current version of the subnegotiation, which is X'01'".
_AUTHENTICATION_VERSION: Final = 1
#: RFC 1928 sections 4 and 5.
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_LONGEST_NAME: Final = 255
#: A reply up to the length of a name, which is as long as one is where the name is empty: what comes before it, the length, the port.
_REPLY_HEAD, _SHORTEST_REPLY = 5, 7

#: RFC 1928 section 6: what REP says, by Gun's name, and what it means to whoever asked.
_REFUSALS: Final = {
    1: ("general_socks_server_failure", "a general failure: the proxy's log may say more"),
    2: ("connection_not_allowed_by_ruleset", "its rules do not allow the connection"),
    3: ("network_unreachable", "it cannot reach the network"),
    4: ("host_unreachable", "it cannot reach the host, or does not know the name: check that"),
    5: ("connection_refused", "the connection was refused: nothing listens there"),
    6: ("ttl_expired", "the TTL expired on the way there"),
    7: ("command_not_supported", "it does not support CONNECT: use another proxy"),
    8: ("address_type_not_supported", "it does not support this type of address: use another, or a name"),
}

#: What was not whole yet where the connection ended, by what was being read.
_AWAITED: Final = {
    "method": "its answer to the greeting",
    "status": "its answer to username and password",
    "nothing": "it was asked for the tunnel",
    "reply": "its answer to the request for the tunnel",
}


class Socks5:
    """The core of a connection to a SOCKS5 proxy; see `twisted_gun.wire.core.TunnelCore`. It makes one tunnel."""

    name = "socks"
    closing_timeout: float | None = 15.0
    renewable = False
    served = False

    def __init__(self, options: SocksOptions) -> None:
        (self._auth,) = options.auth
        self._method = _NO_AUTHENTICATION if self._auth == "none" else _USERNAME_PASSWORD
        self._reader = Reader()
        self._reading = "method"  # one of _READERS
        self._stream: object = None
        self._target = b""
        self._request: bytes | None = None  # what asks for the tunnel; None as long as nobody wants one
        self._held = False
        self._killed: tuple[object, ...] = ()
        self.last_words: GunError | None = None

    # What the hop asks.

    @property
    def switched(self) -> bool:
        return self._reading == "tunnel"

    def losses(self) -> Losses:
        return Losses(self._killed, ())

    def deadline(self) -> float | None:
        return None

    # What the hop tells.

    def start(self, now: float) -> Steps:
        return [Write(bytes((_VERSION, 1, self._method)))]

    def receive_data(self, data: bytes, now: float) -> Steps:
        steps: Steps = []
        if self._reading == "closed":
            return steps
        self._reader.feed(data)
        try:
            _READERS[self._reading](self, steps)
        except (ProtocolViolation, ProxyFailed) as error:
            self._closed()
            return [Close(error)]
        return steps

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        steps: Steps = []
        if self._reading == "tunnel":
            # What has arrived is told even to those who had enough for now: there is no later.
            self._held = False
            self._read_tunnel(steps)
            if clean:
                steps.append(TunnelClosed(self._stream))
            else:
                self._killed = (self._stream,)
                steps.append(StreamFailed(self._stream, reason))
        elif self._reading != "closed":
            self.last_words = self._cut_off(reason, clean)
        self._closed()
        return steps

    def time_passed(self, now: float) -> Steps:
        return []

    def hold_sending(self, held: bool, now: float) -> Steps:
        return []  # what goes through the tunnel is written as it is given; those who give it are paused

    # What the owner of the tunnel asks.

    def connect(self, stream: object, request: Request, now: float) -> Steps:
        steps: Steps = []
        if self._reading == "closed":
            raise BadState("the connection to the SOCKS proxy has ended: it makes no tunnel any more")
        if self._request is not None:
            raise BadState("a connection to a SOCKS proxy makes one tunnel, and was asked for it already: open another connection")
        self._request = _connect_request(request.target)
        self._stream, self._target = stream, request.target
        if self._reading == "nothing":
            self._ask_for_tunnel(steps)
        return steps

    def data(self, stream: object, data: bytes, fin: bool, now: float) -> Steps:
        if self._reading == "closed":
            return []
        if self._reading != "tunnel":
            raise BadState("the SOCKS proxy has not made the tunnel yet: nothing can be sent through it")
        steps: Steps = [Write(data)] if data else []
        if fin:
            steps += [TunnelClosed(self._stream), Close()]
            self._closed()
        return steps

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        if self._reading == "closed":
            return []
        self._closed()
        return [Close()]

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        return []  # how much the tunnel may carry is for what it carries to say

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        steps: Steps = []
        if self._reading == "tunnel" and self._held is not held:
            self._held = held
            self._read_tunnel(steps)
            steps.append(Pause() if held else Resume())
        return steps

    def ping(self, ping: object, now: float) -> Steps:
        raise BadState("SOCKS has no ping; what the tunnel carries may have one")

    def shutdown(self, now: float) -> Steps:
        if self._reading in ("tunnel", "closed"):
            return []  # what the tunnel carries has an end of its own
        self._closed()
        return [Close()]

    # Asking.

    def _ask(self, question: bytes, answer: str, steps: Steps) -> None:
        steps.append(Write(question))
        self._reading = answer

    def _authenticate(self, steps: Steps) -> None:
        _, username, password = self._auth
        question = bytes((_AUTHENTICATION_VERSION, len(username))) + username + bytes((len(password),)) + password
        self._ask(question, "status", steps)

    def _ask_for_tunnel(self, steps: Steps) -> None:
        if self._request is None:
            self._reading = "nothing"
        else:
            self._ask(self._request, "reply", steps)

    # Reading the answers. What they refuse or violate is raised as soon as it is there, and ends the connection.

    def _read_method(self, steps: Steps) -> None:
        method = self._short_answer(_VERSION, "greeting")
        if method is None:
            return
        # RFC 1928 section 3: "If the selected METHOD is X'FF', none of the methods listed by the client are acceptable, and the client
        # MUST close the connection."
        if method == _NONE_ACCEPTABLE:
            offered = "access without authentication" if self._auth == "none" else "username and password"
            why = f"the SOCKS proxy does not take {offered}, which is all it was offered: change the option socks_opts.auth"
            raise ProxyFailed(why, error="no_acceptable_method")
        # Section 3: "The server selects from one of the methods given in METHODS".
        if method != self._method:
            raise ProtocolViolation(f"the SOCKS proxy chose the authentication method {method}, but was offered {self._method} only")
        self._answered(steps)
        if method == _USERNAME_PASSWORD:
            self._authenticate(steps)
        else:
            self._ask_for_tunnel(steps)

    def _read_status(self, steps: Steps) -> None:
        status = self._short_answer(_AUTHENTICATION_VERSION, "username and password")
        if status is None:
            return
        # RFC 1929 section 2: "A STATUS field of X'00' indicates success."
        if status != 0:
            why = f"the SOCKS proxy refused username and password (status {status}): check them in the option socks_opts.auth"
            raise ProxyFailed(why, error="username_password_auth_failure")
        self._answered(steps)
        self._ask_for_tunnel(steps)

    def _read_nothing(self, steps: Steps) -> None:
        if len(self._reader):
            raise ProtocolViolation("the SOCKS proxy sent bytes that answer nothing it was asked")

    def _read_reply(self, steps: Steps) -> None:
        size = self._size_of_reply()
        if size is not None and len(self._reader) >= size:
            self._reader.take(size)  # BND.ADDR and BND.PORT are how others see the proxy: of no use here
            self._reading = "tunnel"
            steps.append(TunnelOpened(self._stream))
            self._read_tunnel(steps)

    def _read_tunnel(self, steps: Steps) -> None:
        if len(self._reader) and not self._held:
            steps.append(TunnelData(self._stream, self._reader.take(len(self._reader))))

    def _short_answer(self, version: int, question: str) -> int | None:
        """The second of an answer's two bytes, once it is there; they stay."""
        answer = self._reader.peek(2)
        _check_version(answer, version, question)
        return answer[1] if len(answer) == 2 else None

    def _answered(self, steps: Steps) -> None:
        """
        A short answer is understood, and so gone.

        The next question was not asked yet: what is there already answers something else, and the password is not for such a peer.
        """
        self._reader.take(2)
        self._read_nothing(steps)

    def _size_of_reply(self) -> int | None:
        """How long the reply is, once that can be said; raises where it is a refusal, or none at all."""
        head = self._reader.peek(_REPLY_HEAD)
        _check_version(head, _VERSION, "request for the tunnel")
        # A refusal is one by its first two bytes, and nothing else is asked of it: there are proxies that leave the rest out, or empty.
        if len(head) > 1 and head[1] != 0:
            raise self._refused(head[1])
        # RFC 1928 section 6: "Fields marked RESERVED (RSV) must be set to X'00'."
        if len(head) > 2 and head[2] != 0:
            raise ProtocolViolation(f"the SOCKS proxy's reply has {head[2]} in its reserved field, not 0 (RFC 1928 section 6)")
        if len(head) > 3 and head[3] not in (_IPV4, _NAME, _IPV6):
            raise ProtocolViolation(f"the SOCKS proxy's reply has an address of type {head[3]}, not 1, 3 or 4 (RFC 1928 section 6)")
        if len(head) < _REPLY_HEAD:
            return None
        # Section 5: "The first octet of the address field contains the number of octets of name that follow".
        return {_IPV4: 4 + 6, _IPV6: 16 + 6}.get(head[3], _SHORTEST_REPLY + head[4])

    def _refused(self, code: int) -> ProxyFailed:
        name, why = _REFUSALS.get(code, ("unknown_error", f"it answered {code}, which RFC 1928 section 6 does not define"))
        return ProxyFailed(f"the SOCKS proxy made no tunnel to {self._target.decode('ascii')}: {why}", error=name)

    # Ends.

    def _closed(self) -> None:
        self._reading = "closed"
        self._reader = Reader()

    def _cut_off(self, reason: GunError, clean: bool) -> GunError | None:
        """What to say of a connection that ended before there was a tunnel."""
        if not clean and type(reason) is not ConnectionFailed:
            return None  # it says more: that of TLS, of a time that was up, or of what the connection stands on
        where = f"{'in the middle of' if len(self._reader) else 'before'} {_AWAITED[self._reading]}"
        error = ProxyFailed(f"the SOCKS proxy ended the connection {where} ({reason}): is it for SOCKS5, and may this client use it?")
        error.__cause__ = reason
        return error


_READERS: Final = {
    "method": Socks5._read_method,
    "status": Socks5._read_status,
    "nothing": Socks5._read_nothing,
    "reply": Socks5._read_reply,
    "tunnel": Socks5._read_tunnel,
}


def _check_version(answer: bytes, version: int, question: str) -> None:
    if answer and answer[0] != version:
        why = f"answered the {question} with version {answer[0]}, not {version}"
        raise ProtocolViolation(f"the SOCKS proxy {why}: is there a SOCKS5 proxy at this address?")


#: "host:port", the host a name or an IPv4 address, or an IPv6 address in brackets; without a zone, which is nothing to a proxy.
_TARGET: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^][:]+)):([0-9]{1,5})")


def _connect_request(target: bytes) -> bytes:
    """The request for a tunnel to `target` (RFC 1928 section 4); raises `InvalidRequest`."""
    match = _TARGET.fullmatch(target)
    if match is None or int(match[3]) > 0xFFFF:
        raise InvalidRequest(f"a SOCKS proxy is asked for host:port, an IPv6 address in brackets, not for {target!r}")
    literal, name, port = match.groups()
    address = _name_or_ipv4(name) if literal is None else _ipv6(literal)
    return bytes((_VERSION, _CONNECT, 0)) + address + int(port).to_bytes(2, "big")


def _name_or_ipv4(host: bytes) -> bytes:
    try:
        return bytes((_IPV4,)) + IPv4Address(host.decode("ascii")).packed
    except ValueError:
        pass
    # A longer name would be cut off by its length of one byte; to look it up here instead would tell others where we go.
    if not host.isascii() or len(host) > _LONGEST_NAME:
        raise InvalidRequest(f"a SOCKS proxy takes names of at most {_LONGEST_NAME} ASCII characters, not {host[:300]!r}")
    return bytes((_NAME, len(host))) + host


def _ipv6(literal: bytes) -> bytes:
    try:
        return bytes((_IPV6,)) + IPv6Address(literal.decode("ascii")).packed
    except ValueError:
        raise InvalidRequest(f"not an IPv6 address: {literal!r}") from None

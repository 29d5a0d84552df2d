"""
SOCKS5: the dialogue with the proxy, its refusals, what breaks the protocol, and the tunnel behind it.

`SocksConversation` keeps the promises of the core under watch at every step: each question once and in its turn, one end, nothing after
it, no secret in what is said of a failure, and no more kept of the proxy's answers than they can be long.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import (
    BadState,
    ConnectionFailed,
    GunError,
    InvalidRequest,
    ProtocolViolation,
    ProxyFailed,
    StreamReset,
    TimedOut,
    TlsFailed,
)
from twisted_gun.options import SocksOptions
from twisted_gun.wire.core import Losses, Request, TunnelCore
from twisted_gun.wire.socks5 import Socks5
from twisted_gun.wire.steps import Close, Pause, Resume, Step, Steps, StreamFailed, TunnelClosed, TunnelData, TunnelOpened, Write

from .conversation import A, B, Conversation, halves

USER, PASSWORD = b"alice", b"open sesame"
AUTH = ("username_password", USER, PASSWORD)

#: What is asked: the greeting, and the request for a tunnel to "example.org:443".
GREETING = b"\x05\x01\x00"
GREETING_AUTH = b"\x05\x01\x02"
CREDENTIALS = b"\x01\x05alice\x0bopen sesame"
REQUEST = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb"
#: What is answered. A reply is at most 262 bytes long.
METHOD, METHOD_AUTH, STATUS = b"\x05\x00", b"\x05\x02", b"\x01\x00"
REPLY_V4 = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"
REPLY_V6 = b"\x05\x00\x00\x04" + bytes(range(16)) + b"\x1f\x90"
REPLY_NAME = b"\x05\x00\x00\x03\x05proxy\x1f\x90"
REPLY_EMPTY = b"\x05\x00\x00\x03\x00\x1f\x90"
REPLY_LONGEST = b"\x05\x00\x00\x03\xff" + b"n" * 255 + b"\x1f\x90"
REPLIES = (REPLY_V4, REPLY_V6, REPLY_NAME, REPLY_EMPTY, REPLY_LONGEST)
LONGEST_REPLY = 262


class SocksConversation(Conversation):
    """The core of a connection to a SOCKS proxy, whose tunnel is `A`."""

    def __init__(self, *, auth: Any = "none") -> None:
        self._opened = self._gone = self._held = False
        self._converse(Socks5(SocksOptions(host="not.asked.for.here", port=1, auth=(auth,))), None)

    def connect(self, target: bytes = b"example.org:443", stream: Any = A) -> Steps:
        """Ask for the tunnel."""
        request = Request(method=b"CONNECT", target=target, authority=target, headers=(), body=b"")
        return self._did(self.core.connect(stream, request, self.now))

    def hold(self, stream: Any, held: bool = True) -> Steps:
        self._held = held and self.core.switched
        return super().hold(stream, held)

    def lose(self, **how: Any) -> Steps:
        self._held = False
        return super().lose(**how)

    # What must hold.

    def _did(self, steps: Steps, *, lost: bool = False) -> Steps:
        if not self._opened:
            assert sum(isinstance(step, Write) for step in steps) <= 1, "more than one question at a time"
        super()._did(steps, lost=lost)
        if not self._opened:
            assert len(self.core._reader) < LONGEST_REPLY, "more is kept than an answer can be long"
        assert self.core.switched is (self._opened and not self._gone and not self.over), "the connection belongs to an open tunnel"
        assert self.core.deadline() is None, "time is not for this core"
        return steps

    def _check(self, step: Step) -> None:
        if isinstance(step, Close):
            self.over = True
            if step.reason is not None:
                self._check_reason(step.reason)
        elif isinstance(step, (Pause, Resume)):
            assert self._opened, f"{step} during the dialogue"
            assert self.paused is isinstance(step, Resume), f"{step} once more"
            self.paused = isinstance(step, Pause)
        elif isinstance(step, Write):
            assert step.data, "an empty write"
            assert not self._gone, "a write behind the end of the tunnel"
        else:
            self._check_tunnel(step)

    def _check_tunnel(self, step: Step) -> None:
        assert isinstance(step, (StreamFailed, TunnelClosed, TunnelData, TunnelOpened)), step
        assert step.stream is A, f"{step} of another stream"
        assert not self._silent, f"{step} of a cancelled stream"
        assert not self._gone, f"{step} after the end of the tunnel"
        assert self._opened is not isinstance(step, TunnelOpened), f"{step} at the wrong time"
        self._opened = True
        if isinstance(step, TunnelData):
            assert step.data and not self._held, f"{step} while it is held, or of nothing"
        if isinstance(step, StreamFailed):
            self._failed[id(A)] = step.reason
        self._gone = isinstance(step, (StreamFailed, TunnelClosed))

    def _check_reason(self, reason: GunError) -> None:
        assert isinstance(reason, (ProxyFailed, ProtocolViolation)), reason
        for text in (str(reason), repr(reason)):
            assert text and PASSWORD.decode() not in text, "the password is shown"

    def _check_end(self) -> None:
        assert self._gone or self._silent or not self._opened, "the connection has ended, the tunnel has not"
        assert self.core.losses() == Losses((A,) if self._failed else (), ()), f"{self.core.losses()} are not the streams that failed"


def shown(steps: Iterable[Step]) -> list[tuple[Any, ...]]:
    """`steps` as plain tuples, adjacent data of the tunnel as one; reasons as their kind and what a program would look at."""
    entries: list[tuple[Any, ...]] = []
    for entry in map(_entry, steps):
        if entry[0] == "data" and entries and entries[-1][0] == "data":
            entries[-1] = ("data", entries[-1][1] + entry[1])
        else:
            entries.append(entry)
    return entries


def _entry(step: Step) -> tuple[Any, ...]:
    if isinstance(step, Write):
        return "write", step.data
    if isinstance(step, TunnelData):
        return "data", step.data
    if isinstance(step, (Close, StreamFailed)):
        return "close" if isinstance(step, Close) else "failed", *kind(step.reason)
    return (type(step).__name__,)


def kind(reason: GunError | None) -> tuple[str, str | None] | tuple[()]:
    """What a program would look at."""
    return () if reason is None else (type(reason).__name__, getattr(reason, "error", None))


def asked() -> SocksConversation:
    """A conversation whose proxy has been asked for the tunnel; what was said up to then is put away."""
    talk = negotiated()
    talk.connect()
    talk.steps.clear()
    return talk


def opened() -> SocksConversation:
    """One in which the proxy has made the tunnel, likewise."""
    talk = asked()
    talk.receive(REPLY_V4)
    talk.steps.clear()
    return talk


def negotiated() -> SocksConversation:
    """One in which the method is negotiated, and nothing was asked for."""
    talk = SocksConversation()
    talk.receive(METHOD)
    return talk


def authenticating() -> SocksConversation:
    """One in which the tunnel is wanted, and username and password are sent."""
    talk = SocksConversation(auth=AUTH)
    talk.connect()
    talk.receive(METHOD_AUTH)
    return talk


def cuts(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """`data` whole, cut in two at every place, and a byte at a time."""
    yield (data,)
    yield from halves(data)
    yield tuple(data[at : at + 1] for at in range(len(data)))


class SocksCase(SynchronousTestCase):
    """A test of the dialogue."""

    def assert_refused(self, talk: SocksConversation, data: bytes, error: str) -> str:
        """`data` ends the connection as a refusal, by Gun's name, and nothing is sent behind it; gives the message."""
        (step,) = talk.receive(data)
        assert isinstance(step, Close) and isinstance(step.reason, ProxyFailed), step
        self.assertEqual((step.reason.error, step.reason.status), (error, None))
        self.assertEqual(talk.core.losses(), Losses((), ()))
        return str(step.reason)

    def assert_violation(self, talk: SocksConversation, data: bytes) -> str:
        """`data` violates the protocol, and nothing is sent behind it; gives the message."""
        (step,) = talk.receive(data)
        assert isinstance(step, Close) and isinstance(step.reason, ProtocolViolation), (step, data)
        self.assertEqual(talk.core.losses(), Losses((), ()))
        return str(step.reason)


class DialogueTests(SynchronousTestCase):
    """Questions and answers."""

    def test_greeting(self) -> None:
        """It begins with the greeting, which offers the one method of the option."""
        self.assertEqual(SocksConversation().steps, [Write(GREETING)])
        self.assertEqual(SocksConversation(auth=AUTH).steps, [Write(GREETING_AUTH)])

    def test_fills_the_interface(self) -> None:
        """It is a core that makes tunnels."""
        core: TunnelCore = Socks5(SocksOptions(host="example.org", port=443))
        self.assertEqual((core.name, core.closing_timeout, core.last_words), ("socks", 15.0, None))

    def test_dialogue(self) -> None:
        """Where to may be said before the method was negotiated, or after it: it is asked for in its turn."""
        early, late = SocksConversation(), SocksConversation()
        self.assertEqual(early.connect(), [])
        self.assertEqual(early.receive(METHOD), [Write(REQUEST)])
        self.assertEqual(late.receive(METHOD), [])
        self.assertEqual(late.connect(), [Write(REQUEST)])
        for talk in (early, late):
            self.assertFalse(talk.core.served or talk.core.renewable)
            self.assertEqual(talk.receive(REPLY_V4), [TunnelOpened(A)])
            self.assertFalse(talk.core.served)  # to make a tunnel is not yet to serve

    def test_authentication(self) -> None:
        """Username and password are sent once the proxy has chosen that method, and the request once it took them."""
        early, late = SocksConversation(auth=AUTH), SocksConversation(auth=AUTH)
        early.connect()
        for talk in (early, late):
            self.assertEqual(talk.receive(METHOD_AUTH), [Write(CREDENTIALS)])
        self.assertEqual(early.receive(STATUS), [Write(REQUEST)])
        self.assertEqual(late.receive(STATUS), [])
        self.assertEqual(late.connect(), [Write(REQUEST)])
        for talk in (early, late):
            self.assertEqual(talk.receive(REPLY_V4), [TunnelOpened(A)])

    def test_between_the_answers(self) -> None:
        """While username and password are looked at it waits too."""
        talk = SocksConversation(auth=AUTH)
        talk.receive(METHOD_AUTH)
        self.assertEqual(talk.connect(), [])
        self.assertEqual(talk.receive(STATUS), [Write(REQUEST)])

    def test_every_cut(self) -> None:
        """However the answers are cut, it is the same; and what follows the last one in the same read is the tunnel's."""
        rest = b"\x05\x00\x00\x01 is the tunnel's"
        for reply in REPLIES:
            for pieces in cuts(reply + rest):
                talk = SocksConversation(auth=AUTH)
                talk.connect()
                talk.receive_bytes(METHOD_AUTH)
                talk.receive_bytes(STATUS)
                talk.receive(*pieces)
                expected = [("write", data) for data in (GREETING_AUTH, CREDENTIALS, REQUEST)]
                self.assertEqual(shown(talk.steps), [*expected, ("TunnelOpened",), ("data", rest)])

    def test_together(self) -> None:
        """The reply and the tunnel's first bytes in one read: first it is said that the tunnel is there."""
        self.assertEqual(asked().receive(REPLY_NAME + b"hi"), [TunnelOpened(A), TunnelData(A, b"hi")])

    def test_incomplete(self) -> None:
        """A reply that is not whole opens nothing, down to its last byte."""
        for reply in REPLIES:
            talk = asked()
            for at in range(len(reply) - 1):
                self.assertEqual(talk.receive(reply[at : at + 1]), [])
            self.assertEqual(talk.receive(b""), [])
            self.assertEqual(talk.receive(reply[-1:]), [TunnelOpened(A)])


class AskingTests(SynchronousTestCase):
    """`connect`: how the destination is written, and when it may be said."""

    def test_refused(self) -> None:
        """What cannot be asked for is refused at the call; nothing is sent, and another may be asked for."""
        ports = b"example.org example.org: example.org:65536 example.org:-1 [::1]80".split()
        hosts = b":80 ::1:80 []:80 [1]:80 [::1::]:80 [fe80::1%1]:80 [example.org]:80".split()
        for target in (b"", b"example.org: 80", *ports, *hosts, "bücher.example:80".encode(), b"n" * 256 + b":80"):
            talk = negotiated()
            self.assertRaises(InvalidRequest, talk.connect, target)
            self.assertEqual(talk.written, GREETING)
            self.assertEqual(talk.connect(), [Write(REQUEST)])

    def test_once(self) -> None:
        """A second tunnel there is not, whatever has become of the first; nor one over a connection that has ended."""
        early, over = SocksConversation(), negotiated()
        early.connect()
        over.shutdown()
        for talk in (early, authenticating(), asked(), opened(), over):
            written = talk.written
            self.assertRaises(BadState, talk.connect, b"other.example:1", B)
            self.assertEqual(talk.written, written)
        self.assertEqual(early.receive(METHOD), [Write(REQUEST)])


class RefusalTests(SocksCase):
    """The proxy says no: the connection ends by that."""

    def test_method(self) -> None:
        """None of the methods is acceptable, whether there is a tunnel asked for or not; bytes behind that do not matter."""
        for auth, said in (("none", "without authentication"), (AUTH, "username and password")):
            for data in (b"\x05\xff", b"\x05\xff more"):
                self.assertIn(said, self.assert_refused(SocksConversation(auth=auth), data, "no_acceptable_method"))
                talk = SocksConversation(auth=auth)
                talk.connect()
                talk.receive(data[:1])
                self.assert_refused(talk, data[1:], "no_acceptable_method")

    def test_nothing_behind(self) -> None:
        """Behind a refusal nothing is read, sent or told any more."""
        talk = asked()
        talk.receive(b"\x05\x05")
        core = talk.core
        self.assertFalse(core.switched)
        for steps in (
            core.receive_data(REPLY_V4, 0.0),
            core.data(A, b"x", True, 0.0),
            core.hold(A, True, 0.0),
            core.cancel(A, 0.0),
            core.shutdown(0.0),
            core.connection_lost(ConnectionFailed("gone"), True),
        ):
            self.assertEqual(steps, [])
        self.assertIsNone(core.last_words)
        self.assertEqual(core.losses(), Losses((), ()))


class ViolationTests(SocksCase):
    """What is not SOCKS5: the connection ends by that, and nothing more is said to such a peer."""

    def test_unasked(self) -> None:
        """Bytes behind an answer, before the next question was asked, answer nothing; the question is not asked then."""
        for auth, method in (("none", METHOD), (AUTH, METHOD_AUTH)):
            for before in (True, False):
                for rest in (b"\x01", STATUS, REPLY_V4, b"x" * 70_000):
                    talk = SocksConversation(auth=auth)
                    if before:
                        talk.connect()
                    self.assert_violation(talk, method + rest)
        self.assert_violation(authenticating(), STATUS + REPLY_V4)
        talk = negotiated()
        self.assertEqual(talk.receive(b""), [])
        self.assert_violation(talk, REPLY_V4)


class LossTests(SynchronousTestCase):
    """The connection ends during the dialogue."""

    def lost(self, talk: SocksConversation, *, clean: bool = True, reason: GunError | None = None) -> GunError | None:
        """The last words of a connection that is lost so; nobody is told anything else."""
        self.assertEqual(talk.lose(clean=clean, reason=reason), [])
        last_words: GunError | None = talk.core.last_words
        return last_words

    def test_where(self) -> None:
        """It is said which answer was being waited for, and whether some of it was there, at every byte of it."""
        stages: tuple[tuple[tuple[bytes, ...], bytes, str], ...] = (
            ((), METHOD_AUTH, "its answer to the greeting"),
            ((METHOD_AUTH,), STATUS, "its answer to username and password"),
            ((METHOD_AUTH, STATUS), REPLY_LONGEST, "its answer to the request for the tunnel"),
            ((METHOD_AUTH, STATUS), REPLY_V6, "its answer to the request for the tunnel"),
        )
        for answers, answer, awaited in stages:
            for at in range(len(answer)):
                for clean in (True, False):
                    talk = SocksConversation(auth=AUTH)
                    talk.connect()
                    talk.receive(*answers, *filter(None, [answer[:at]]))
                    reason = ConnectionFailed("gone")
                    error = self.lost(talk, clean=clean, reason=reason)
                    assert isinstance(error, ProxyFailed)
                    self.assertIn(f"{'in the middle of' if at else 'before'} {awaited} (gone)", str(error))
                    self.assertEqual((error.error, error.status), (None, None))
                    self.assertIs(error.__cause__, reason)

    def test_not_asked(self) -> None:
        """The proxy may have gone before anybody wanted a tunnel."""
        self.assertIn("before it was asked for the tunnel", str(self.lost(negotiated())))

    def test_other_reasons(self) -> None:
        """A reason that says more than that the connection is gone stands."""
        for reason in (TlsFailed("alert", "bad_certificate"), TimedOut("write", 1.0), StreamReset("reset", 8), ProtocolViolation("odd")):
            self.assertIsNone(self.lost(asked(), clean=False, reason=reason))

    def test_over(self) -> None:
        """What ended so takes nothing more."""
        talk = asked()
        talk.lose()
        self.assertRaises(BadState, talk.connect)
        self.assertEqual(talk.core.receive_data(REPLY_V4, 0.0), [])


class BeforeTests(SynchronousTestCase):
    """What is asked for before the tunnel is there."""

    def test_data(self) -> None:
        """Nothing can be sent yet: neither lost nor sent too early."""
        talk = SocksConversation()
        for answer in (METHOD, REPLY_V4[:-1]):
            for fin in (True, False):
                self.assertRaises(BadState, talk.send, A, b"data", fin)
            if answer is METHOD:
                talk.connect()
            talk.receive(answer)
        self.assertEqual(talk.written, GREETING + REQUEST)
        self.assertEqual(talk.receive(REPLY_V4[-1:]), [TunnelOpened(A)])

    def test_cancel_and_shutdown(self) -> None:
        """Nobody wants it any more: the connection is closed in good order, and nothing told."""
        for end in (lambda talk: talk.cancel(A), lambda talk: talk.cancel(A, drain=True), lambda talk: talk.shutdown()):
            for talk in (SocksConversation(), SocksConversation(auth=AUTH), asked()):
                self.assertEqual(end(talk), [Close()])
                self.assertEqual(talk.core.receive_data(REPLY_V4, 0.0), [])
                self.assertEqual(talk.core.connection_lost(ConnectionFailed("gone"), False), [])
                self.assertIsNone(talk.core.last_words)
                self.assertEqual(talk.core.losses(), Losses((), ()))

    def test_hold(self) -> None:
        """The dialogue is not held up; how much of the tunnel may come is then for what it carries to say."""
        talk = asked()
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.receive(REPLY_V4 + b"hi"), [TunnelOpened(A), TunnelData(A, b"hi")])

    def test_nothing_to_do(self) -> None:
        """Flow and the transport's back-pressure are others', time is not its matter, and there is no ping."""
        for talk in (SocksConversation(), asked(), opened()):
            core = talk.core
            self.assertEqual(core.update_flow(A, 1, 0.0), [])
            self.assertEqual((core.hold_sending(True, 0.0), core.hold_sending(False, 0.0)), ([], []))
            self.assertEqual(core.time_passed(1000.0), [])
            self.assertRaises(BadState, core.ping, "key", 0.0)


class TunnelTests(SynchronousTestCase):
    """The tunnel, once it is there."""

    def test_bytes(self) -> None:
        """Bytes go through as they are, both ways; of nothing there is nothing to tell or to write."""
        talk = opened()
        data = REPLY_V4 + METHOD + bytes(range(256))
        self.assertEqual(talk.receive(data), [TunnelData(A, data)])
        self.assertEqual(talk.send(A, data), [Write(data)])
        self.assertEqual(talk.receive(b"") + talk.send(A, b""), [])

    def test_end_by_us(self) -> None:
        """Our end is that of the connection."""
        for data in (b"bye", b""):
            talk = opened()
            writes = [Write(data)] if data else []
            self.assertEqual(talk.send(A, data, True), [*writes, TunnelClosed(A), Close()])
            self.assertEqual(talk.core.data(A, b"more", True, 0.0), [])
            self.assertEqual(talk.core.connection_lost(ConnectionFailed("gone"), False), [])
            self.assertEqual(talk.core.losses(), Losses((), ()))

    def test_end_by_peer(self) -> None:
        """The proxy closes in good order, and that is the tunnel's end; else it has failed by what happened."""
        talk = opened()
        self.assertEqual(talk.lose(), [TunnelClosed(A)])
        self.assertEqual(talk.core.losses(), Losses((), ()))
        self.assertIsNone(talk.core.last_words)
        talk = opened()
        reason = ConnectionFailed("reset")
        self.assertEqual(talk.lose(clean=False, reason=reason), [StreamFailed(A, reason)])
        self.assertEqual(talk.core.losses(), Losses((A,), ()))
        self.assertIsNone(talk.core.last_words)

    def test_cancel(self) -> None:
        """Cancelled, the connection is closed and nothing told any more, of what is kept neither."""
        for held in (True, False):
            talk = opened()
            if held:
                talk.hold(A)
                talk.receive(b"kept")
            self.assertEqual(talk.cancel(A), [Close()])
            self.assertEqual(talk.core.cancel(A, 0.0), [])
            self.assertEqual(talk.core.connection_lost(ConnectionFailed("gone"), False), [])

    def test_shutdown(self) -> None:
        """What the tunnel carries has an end of its own: it is waited for."""
        talk = opened()
        self.assertEqual(talk.shutdown(), [])
        self.assertEqual(talk.receive(b"bye"), [TunnelData(A, b"bye")])
        self.assertEqual(talk.send(A, b"", True), [TunnelClosed(A), Close()])

    def test_held(self) -> None:
        """Who cannot take more stops the reading, once; what came meanwhile is told before it goes on."""
        talk = opened()
        self.assertEqual(talk.hold(A), [Pause()])
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.receive(b"one ", b"two"), [])
        self.assertEqual(talk.hold(A, False), [TunnelData(A, b"one two"), Resume()])
        self.assertEqual(talk.hold(A, False), [])
        talk.hold(A)
        self.assertEqual(talk.hold(A, False), [Resume()])

    def test_held_and_lost(self) -> None:
        """What had come is told before the end, good or bad."""
        for clean in (True, False):
            talk = opened()
            talk.hold(A)
            talk.receive(b"bytes")
            data, end = talk.lose(clean=clean)
            self.assertEqual(data, TunnelData(A, b"bytes"))
            self.assertIsInstance(end, TunnelClosed if clean else StreamFailed)

    def test_held_and_sent(self) -> None:
        """Holding is of what comes, not of what goes; and our end does not wait for it."""
        talk = opened()
        talk.hold(A)
        self.assertEqual(talk.send(A, b"data"), [Write(b"data")])
        self.assertEqual(talk.send(A, b"", True), [TunnelClosed(A), Close()])


addresses = st.one_of(
    st.binary(min_size=6, max_size=6).map(lambda rest: b"\x01" + rest),
    st.binary(min_size=18, max_size=18).map(lambda rest: b"\x04" + rest),
    st.binary(max_size=255).map(lambda name: b"\x03" + bytes((len(name),)) + name + b"\x00\x50"),
)
replies = st.one_of(
    addresses.map(lambda address: b"\x05\x00\x00" + address),
    st.tuples(st.sampled_from((0, 1, 5, 9)), st.sampled_from((0, 0, 1)), addresses).map(
        lambda drawn: bytes((5, drawn[0], drawn[1])) + drawn[2]
    ),
    st.binary(max_size=40),
)
places = st.lists(st.integers(0, 300), max_size=6)
doings = st.lists(st.sampled_from(("hold", "go on", "send", "shutdown", "cancel", "end")), max_size=4)
SETTINGS = settings(max_examples=400, deadline=None, database=None, derandomize=True)


class AnyBytesTests(SynchronousTestCase):
    """Any bytes in any pieces: never an exception, the same wherever they are cut, and one end."""

    def pieces(self, data: bytes, at: list[int]) -> list[bytes]:
        """`data` cut at these places."""
        ends = [0, *sorted(min(place, len(data)) for place in at), len(data)]
        return [data[start:end] for start, end in itertools.pairwise(ends)]

    def receive(self, talk: SocksConversation, pieces: Iterable[bytes]) -> None:
        """As from a hop: none once the connection is over."""
        for piece in pieces:
            if not talk.over:
                talk.receive(piece)

    def do(self, talk: SocksConversation, doing: str) -> None:
        """Do that, where it makes sense."""
        if talk.over:
            return
        if doing in ("hold", "go on"):
            talk.hold(A, doing == "hold")
        elif doing == "shutdown":
            talk.shutdown()
        elif doing == "cancel":
            talk.cancel(A)
        elif talk.core.switched:
            talk.send(A, b"data", doing == "end")

    @SETTINGS
    @given(replies, st.binary(max_size=20), places, doings, st.booleans())
    def test_reply(self, reply: bytes, rest: bytes, at: list[int], doing: list[str], clean: bool) -> None:
        """As the answer to the request, and all that is done behind it."""
        data = reply + rest
        seen = []
        for pieces in (self.pieces(data, []), self.pieces(data, at), [data[place : place + 1] for place in range(len(data))]):
            talk = asked()
            self.receive(talk, pieces)
            for what in doing:
                self.do(talk, what)
            if not talk.over:
                talk.lose(clean=clean)
            seen.append((shown(talk.steps), kind(talk.core.last_words)))
        self.assertEqual(seen[1:], seen[:1] * 2)

    @SETTINGS
    @given(st.lists(st.one_of(st.sampled_from((METHOD, METHOD_AUTH, STATUS)), replies), max_size=5), places, st.booleans(), st.booleans())
    def test_dialogue(self, answers: list[bytes], at: list[int], authenticates: bool, early: bool) -> None:
        """From the first byte: questions in their order, an end, and no more kept than there may be; `SocksConversation` watches."""
        talk = SocksConversation(auth=AUTH if authenticates else "none")
        if early:
            talk.connect()
        self.receive(talk, self.pieces(b"".join(answers), at))
        if not early and not talk.over:
            talk.connect()
        self.receive(talk, answers)
        if not talk.over:
            talk.lose()
        asked_for = [GREETING_AUTH, CREDENTIALS, REQUEST] if authenticates else [GREETING, REQUEST]
        written = [step.data for step in talk.steps if isinstance(step, Write)]
        self.assertEqual(written, asked_for[: len(written)])

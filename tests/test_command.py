"""What the commands share: the input line by line, where the output goes, the way to a server, and what a websocket ends with."""

from __future__ import annotations

import os
from functools import partial
from io import BytesIO, StringIO
from queue import SimpleQueue
from threading import enumerate as enumerate_threads
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted_gun as gun
from twisted_gun.command.output import Lines
from twisted_gun.command.telling import Steps, Teller
from twisted_gun.command.typed import TypedLines
from twisted_gun.command.way import Way, target_of, url_of
from twisted_gun.exits import Exit, Unreadable, close_status, explain
from twisted_gun.observations import Connecting, DomainLookup, LookupInfo, TlsHandshake

__all__ = ["BinaryTerminal", "Gone", "ThreadClock", "end_threads"]


class ThreadClock(Clock):
    """A clock that stands still, with a reactor's way to be called from a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: SimpleQueue[Any] = SimpleQueue()

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        """For the thread."""
        self.from_threads.put(partial(call, *arguments))

    def next_call(self) -> None:
        """Wait for a thread to call, and do as it says."""
        self.from_threads.get(timeout=20)()


def end_threads() -> None:
    """Wait for the threads whose input has ended."""
    for thread in enumerate_threads():
        if thread.name == "standard input":
            thread.join(20)


class BinaryTerminal(BytesIO):
    """A stream of bytes that somebody watches."""

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


class Gone(BytesIO):
    """A pipe whose reader has gone."""

    def write(self, data: Any) -> int:
        """Nobody takes it."""
        raise BrokenPipeError


class Blocked(Exception):
    """A thread would wait here."""


class Signal:
    """As much of `threading.Event` as is used, by one thread alone."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Let it go on."""
        self.is_set = True

    def clear(self) -> None:
        """Let it wait."""
        self.is_set = False

    def wait(self) -> None:
        """Go on, or not."""
        if not self.is_set:
            raise Blocked


class TypedLinesTests(SynchronousTestCase):
    """`TypedLines`."""

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.lines: list[bytes] = []
        self.ends: list[Unreadable | None] = []
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(end_threads)
        self.addCleanup(self.close)

    def close(self) -> None:
        """End the input, and so the thread."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def start(self, descriptor: int | None = None) -> TypedLines:
        """Begin to read, by default what is typed here."""
        reader = self.reader if descriptor is None else descriptor
        typed = TypedLines(self.clock, reader, self.lines.append, self.ends.append)
        self.addCleanup(typed.stopProducing)
        typed.start()
        return typed

    def type(self, data: bytes) -> None:
        """Type something."""
        os.write(self.writer, data)
        self.clock.next_call()

    def test_producer(self) -> None:
        """It can be registered with a stream."""
        self.assertTrue(verifyObject(IPushProducer, self.start()))

    def test_lines(self) -> None:
        """A line is told when it is complete, without its end; the last one need not be."""
        self.start()
        self.type(b"one\ntwo")
        self.assertEqual(self.lines, [b"one"])
        self.type(b" and more\n\nlast")
        self.assertEqual(self.lines, [b"one", b"two and more", b""])
        self.close()
        self.clock.next_call()
        self.assertEqual((self.lines[3:], self.ends), ([b"last"], [None]))

    def test_file(self) -> None:
        """A file is as good as a terminal, and an empty one ends at once."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"one\ntwo\n")
        for content, descriptor in (([b"one", b"two"], os.open(path, os.O_RDONLY)), ([], os.open(os.devnull, os.O_RDONLY))):
            self.addCleanup(os.close, descriptor)
            self.lines.clear()
            self.start(descriptor)
            while not self.ends:
                self.clock.next_call()
            self.assertEqual((self.lines, self.ends.pop()), (content, None))

    def test_paused(self) -> None:
        """While it is paused no more than one piece is read; what was read is told all the same, and the rest when it goes on."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x\n" * 100_000)
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)

        def pausing(line: bytes) -> None:
            self.lines.append(line)
            typed.pauseProducing()

        typed = TypedLines(self.clock, descriptor, pausing, self.ends.append)
        self.patch(self.clock, "callFromThread", lambda call, *arguments: call(*arguments))
        typed._wanted = Signal()  # type: ignore[assignment]  # so that this thread can do what that of the input would
        typed.resumeProducing()
        for count in (32_768, 65_536, 98_304):
            self.assertRaises(Blocked, typed._read)
            self.assertEqual((len(self.lines), self.ends), (count, []))
            typed.resumeProducing()

    def test_stopped(self) -> None:
        """Once it is stopped nothing is told, neither the rest of what was read nor the end."""
        typed = self.start()

        def stopping(line: bytes) -> None:
            self.lines.append(line)
            typed.stopProducing()

        typed._line = stopping
        self.type(b"one\ntwo\n")
        self.assertEqual((self.lines, self.ends), ([b"one"], []))

    def test_stopped_while_reading(self) -> None:
        """What is typed after the end of the talk is nobody's."""
        typed = self.start()
        typed.stopProducing()
        self.close()
        self.clock.from_threads.put(lambda: None)  # the thread may have found that out before it read
        self.clock.next_call()
        self.assertEqual((self.lines, self.ends), ([], []))

    def test_unreadable(self) -> None:
        """Why it cannot be read is told as the end."""
        folder = os.open(".", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.start(folder)
        self.clock.next_call()
        (end,) = self.ends
        self.assertIn("Is a directory", str(end))
        assert end is not None
        self.assertEqual(explain(end)[0], Exit.READ)


class LinesTests(SynchronousTestCase):
    """`Lines`."""

    def test_pipe(self) -> None:
        """To a pipe, or a file, goes what came, as UTF-8."""
        out = BytesIO()
        Lines(out, "< ").line("caf\xe9 \x1b[31m")
        self.assertEqual(out.getvalue(), "caf\xe9 \x1b[31m\n".encode())

    def test_terminal(self) -> None:
        """A server cannot speak to the terminal, only be read there."""
        out = BinaryTerminal()
        Lines(out, "< ").line("caf\xe9\t\x1b[31m \x9b\u202e\nnext")
        self.assertEqual(out.getvalue(), "< caf\xe9\t\\x1b[31m \\x9b\\u202e\nnext\n".encode())


class WayTests(SynchronousTestCase):
    """`Way`, and URLs."""

    def test_options(self) -> None:
        """What it gives are options of a connection."""
        way = Way(url="http://host/", proxies=("http://proxy.example:3128",), protocol="http2", connect_timeout=3.0, timeout=4.0)
        options = gun.Options(**{name: value for name, value in way.options(Clock()).items() if name != "reactor"})
        self.assertEqual((options.connect_timeout, options.domain_lookup_timeout, options.tunnel_timeout), (3.0, 3.0, 3.0))
        self.assertEqual((options.http_opts.header_timeout, options.http2_opts.settings_timeout), (4.0, 4.0))
        self.assertEqual([name for name, _ in options.protocols or ()], ["http2"])
        self.assertTrue(options.tls_opts.verify)

    def test_unix(self) -> None:
        """A UNIX socket is not reached through a proxy, but through what the environment names it is not tried either."""
        self.assertIn("endpoint", Way(url="http://host/", unix="path", proxies=("env",)).options(Clock()))
        error = self.assertRaises(gun.OptionError, Way(url="http://host/", unix="path", proxies=("http://p",)).options, Clock())
        self.assertTrue(explain(error)[1].startswith("--proxy: "), error)

    def test_words(self) -> None:
        """What cannot be used is told in the words of a command line, not in Python's."""
        options = Way(url="http://host/", proxies=("foo://x",)).options(Clock())
        errors = [
            self.assertRaises(gun.OptionError, gun.Options, proxy=options["proxy"]),
            self.assertRaises(gun.OptionError, gun.WsOptions, protocols=("a b",)),
        ]
        for error, flag in zip(errors, ("--proxy", "--subprotocol"), strict=True):
            line = explain(error)[1]
            self.assertTrue(line.startswith(f"{flag}: expected "), line)
            self.assertNotRegex(line, "None|list|callable")

    def test_fields(self) -> None:
        """A field of the caller's takes the place of ours, however its name is written."""
        way = Way(url="http://host/", headers=(("User-Agent", "me"), ("x", "1"), ("x", "2")))
        self.assertEqual(way.fields(content_type="a/b"), [("content-type", "a/b"), ("User-Agent", "me"), ("x", "1"), ("x", "2")])

    def test_url(self) -> None:
        """What may not stand in a target is encoded, bytes that are no text too; credentials in a URL would be seen by others."""
        url = url_of("ws://host:81/a b?c=d\udcff#e", ("ws", "wss"))
        self.assertEqual((url.hostname, url.port, target_of(url)), ("host", 81, "/a%20b?c=d%FF"))
        for text, told in (("http://host/", "expected ws:// or wss://"), ("ws://", "expected"), ("ws://a:secret@host/", "--header")):
            error = self.assertRaises(gun.InvalidRequest, url_of, text, ("ws", "wss"))
            self.assertIn(told, str(error))


class StepsTests(SynchronousTestCase):
    """`Steps`: how a connection is made."""

    def setUp(self) -> None:
        self.stderr = StringIO()
        self.steps = Steps(Teller(self.stderr))

    def test_lookup(self) -> None:
        """A name is told with its addresses; an address is not, for it was not looked up."""
        tcp = gun.TcpOptions()
        for host in ("host.example", "192.0.2.1"):
            found = LookupInfo(ip_addresses=("192.0.2.1", "2001:db8::1")[: 2 if host[0] == "h" else 1], port=443, tcp_opts=tcp)
            given: Any = {"connection": None, "timeout": None}
            self.steps.domain_lookup_end(DomainLookup(host=host, port=443, tcp_opts=tcp, lookup_info=found, **given))
            self.steps.connect_start(Connecting(lookup_info=found, **given))
        self.assertEqual(
            self.stderr.getvalue().splitlines(),
            [
                "* host.example is 192.0.2.1, 2001:db8::1",
                "* connecting to 192.0.2.1:443, or [2001:db8::1]:443",
                "* connecting to 192.0.2.1:443",
            ],
        )

    def test_failures(self) -> None:
        """Why a step failed is told."""
        given: Any = {"connection": None, "timeout": None}
        self.steps.connect_end(Connecting(lookup_info=None, error=gun.TimedOut("connect", 3.0), **given))
        tls: Any = {**given, "stream": None, "socket": None, "tls_opts": gun.TlsOptions()}
        self.steps.tls_handshake_end(TlsHandshake(error=gun.TlsFailed("no trust\nat all"), **tls))
        self.assertEqual(self.stderr.getvalue(), "* timed out: connect took longer than 3.0 seconds\n* no trust at all\n")


class StatusTests(SynchronousTestCase):
    """Exit statuses of websockets and event streams."""

    def test_close(self) -> None:
        """A Close in good order is 0; the protocol's other codes have a status each, all others share one."""
        statuses = {None: 0, 1000: 0, 1001: 101, 1002: 102, 1008: 108, 1014: 114, 3000: 120, 4999: 120}
        self.assertEqual({code: close_status(code) for code in statuses}, statuses)
        used = {int(status) for status in Exit if status not in (Exit.LOST, Exit.CLOSED)}
        self.assertFalse(used & {close_status(code) for code in range(1001, 5000)}, "none of them means something else")

    def test_answers(self) -> None:
        """An answer that is not what was asked for is 22; a server without websockets over HTTP/2 has given none."""
        self.assertEqual(explain(gun.UpgradeRefused("status 403", object()))[0], Exit.STATUS)
        self.assertEqual(explain(gun.EventSourceFailed("status 404", object()))[0], Exit.STATUS)  # type: ignore[arg-type]
        status, line = explain(gun.UpgradeRefused("no websockets", None))
        self.assertEqual(status, Exit.FAILED)
        self.assertIn("leave out --http2", line)

    def test_decoded(self) -> None:
        """Content that becomes too large is told by the option here."""
        self.assertIn("leave out --compressed", explain(gun.LimitReached("max_ratio", 1000))[1])

"""
The demo: a story in scenes, told by a connection to a server of our own, with every event as it comes.

Nothing in it waits for time to pass, but for the two short delays of `gun.backoff`: each step follows from an event. What does not go
as it is told ends the story.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, TextIO

from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, FirstError, gatherResults
from twisted.internet.error import CannotListenError

import twisted_gun as gun
from twisted_gun.demo_server import DOWNLOAD, FEED, GREETING, HALF, PIECE, REFUSAL, SUBPROTOCOL, Origin
from twisted_gun.exits import Exit
from twisted_gun.progress import ProgressBar, is_terminal, size_text

__all__ = ["run"]


async def run(reactor: Any, out: TextIO) -> int:
    """Tell the story on `out`; gives 0, or 1 after a line that says what did not go as told."""
    teller = _Teller(out)
    story = _Story(reactor, teller)
    try:
        await story.tell()
    except BrokenPipeError:
        return Exit.PIPE_CLOSED
    except CancelledError:
        raise
    except _NotAsToldError as error:
        teller.fail(str(error))
        return Exit.FAILED
    except Exception as error:  # whatever it is, the one who watches shall see it
        teller.fail(f"{type(error).__name__}: {error}")
        return Exit.FAILED
    finally:
        await story.end()
    return Exit.OK


#: How many requests go side by side, and the window of each stream, in bytes.
_STREAMS, _WINDOW = 50, 256 * 1024

#: How many seconds to wait for what has no timeout of its own.
_PATIENCE = 5.0


class _NotAsToldError(Exception):
    """Something went otherwise than the demo says."""


def _expect(what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise _NotAsToldError(f"{what}: expected {expected!r}, not {seen!r}")


class _Story:
    """The scenes, in order: each leaves the connection as the next expects it."""

    def __init__(self, reactor: Any, teller: _Teller) -> None:
        self._reactor = reactor
        self._tell = teller
        self._origin = Origin(reactor)
        self._http2_origin = Origin(reactor, http2=True)
        self._websocket_origin = Origin(reactor)
        self._owner = _Owner(teller)
        self._http2_owner = _Owner(teller)
        self._retries = 0
        # Until the scenes that open them.
        self._conn: gun.Connection = None  # type: ignore[assignment]
        self._http2: gun.Connection = None  # type: ignore[assignment]
        self._websocket: gun.Connection = None  # type: ignore[assignment]

    async def tell(self) -> None:
        await self._scene_up()
        await self._scene_get()
        await self._scene_upload()
        await self._scene_hints()
        await self._scene_download()
        await self._scene_death()
        await self._scene_return()
        await self._scene_http2()
        await self._scene_slow_reader()
        await self._scene_goodbye()
        await self._scene_closing(await self._scene_websocket())
        await self._scene_websockets()
        await self._scene_refusal()
        await self._scene_feed()
        await self._scene_shutdown()
        self._tell.end()

    async def end(self) -> None:
        """Leave nothing behind."""
        for conn in (self._conn, self._http2, self._websocket):
            if conn is not None:
                conn.close()
        for origin in (self._origin, self._http2_origin, self._websocket_origin):
            await origin.die()

    async def _scene_up(self) -> None:
        self._tell.scene("A connection", "gun.open() returns at once; the owner is told when TLS is up and the certificate was verified.")
        self._conn = await self._open(self._origin, self._owner)

    async def _open(self, origin: Origin, owner: _Owner, **options: Any) -> gun.Connection:
        """Start the server, and a connection to it, whose beginning is told."""
        origin.start()
        self._tell.say("server", f"listens on 127.0.0.1, port {origin.port}, with a certificate made just now")
        conn = await self._dial(origin, owner, retry_fun=self._decide, **options)
        tls = conn.info().tls
        assert tls is not None
        self._tell.say("tls", f"{tls.version}, {tls.cipher}, ALPN chose {_text(tls.alpn or b'nothing')}")
        return conn

    async def _dial(self, origin: Origin, owner: _Owner, **options: Any) -> gun.Connection:
        """A connection to a server that runs, once it is up."""
        tls_opts = {"trust_root": origin.trust}
        conn = gun.open("127.0.0.1", origin.port, owner=owner, reactor=self._reactor, transport="tls", tls_opts=tls_opts, **options)
        self._tell.say("client", f"{conn!r}")
        try:
            await conn.await_up()
        except BaseException:
            conn.close()
            raise
        return conn

    async def _scene_get(self) -> None:
        self._tell.scene("A request", "A request is a stream; its events come in order, and `fin` says which is the last.")
        self._tell.say("client", "GET /greeting")
        body = await self._read(self._conn.get("/greeting"), 200)
        _expect("the greeting", body, GREETING)

    async def _scene_upload(self) -> None:
        self._tell.scene(
            "A streamed upload", "The content of a request may follow piece by piece; the server answers with its SHA-256 digest."
        )
        stream = self._conn.post("/upload", {"content-type": "application/octet-stream"})
        digest = hashlib.sha256()
        for number, piece in enumerate((PIECE, PIECE[:1000], b"the end"), 1):
            self._tell.say("client", f"POST /upload, piece {number}: {size_text(len(piece))}")
            digest.update(piece)
            stream.data(piece, fin=number == 3)
        _expect("the digest", await self._read(stream, 201), digest.hexdigest().encode())

    async def _scene_hints(self) -> None:
        self._tell.scene(
            "Hints and trailers",
            "A server may send hints (103) before its answer, and trailer fields after it: each is an event.",
        )
        self._tell.say("client", "GET /hints")
        stream = self._conn.get("/hints")
        kinds: list[type] = []
        _expect("the page", await self._read(stream, 200, kinds), b"<html></html>")
        _expect("first and last event", (kinds[0], kinds[-1]), (gun.Inform, gun.Trailers))

    async def _scene_download(self) -> None:
        self._tell.scene(
            "A big download",
            "It is read piece by piece; a server that is faster than its reader is held back, so memory stays small.",
        )
        stream = self._conn.get("/download")
        response = await stream.await_response()
        self._tell.event(response)
        bar = ProgressBar(self._tell.out, DOWNLOAD, self._reactor.seconds)
        digest = hashlib.sha256()
        async for chunk in stream.chunks():
            digest.update(chunk)
            bar.advance(len(chunk))
        bar.finish()
        _expect("the size", bar.done, DOWNLOAD)
        _expect("the digest", digest.digest(), hashlib.sha256(PIECE * (DOWNLOAD // len(PIECE))).digest())
        self._tell.say("client", f"{size_text(DOWNLOAD)}, each of them as it was sent")

    async def _scene_death(self) -> None:
        self._tell.scene(
            "The server dies",
            "Both streams end with the reason why; gun_down lists them as killed, for they may have been processed.",
        )
        half, behind = self._conn.get("/half"), self._conn.get("/greeting")
        self._tell.event(await half.await_response())
        self._tell.event(await half.await_event())
        self._tell.say("server", f"is killed, having sent {size_text(HALF)} of {size_text(DOWNLOAD)}", _YELLOW)
        await self._origin.die()
        _expect("the end of the first", type(await self._failure(half)), gun.Truncated)
        _expect("the end of the second", type(await self._failure(behind)), gun.StreamClosed)
        down = await self._owner.down
        _expect("the killed streams", down.killed_streams, (half, behind))

    async def _scene_return(self) -> None:
        self._tell.scene(
            "It comes back",
            "The connection dials again by itself; a request made while it is down is kept, and sent when it is up.",
        )
        stream = self._conn.get("/greeting")
        state = stream.info()
        _expect("the request", state and state.state, "waiting")
        self._tell.say("client", "GET /greeting, while the connection is down: the request waits")
        _expect("the greeting", await self._read(stream, 200), GREETING)
        _expect("the retries", self._retries, 2)
        _expect("the times it was up", self._owner.ups, 2)

    async def _scene_http2(self) -> None:
        self._tell.scene("HTTP/2", "Another server: TLS agrees on HTTP/2, and one connection carries many requests side by side.")
        # Windows of 256 KiB, so that the next scene shows what they are for.
        options = {"initial_stream_window_size": _WINDOW, "stream_window_margin_size": 0}
        self._http2 = await self._open(self._http2_origin, self._http2_owner, http2_opts=options)
        _expect("the protocol", self._http2.info().protocol, "http2")
        answered: list[int] = []

        async def ask(number: int) -> bytes:
            body = await self._read_quietly(self._http2.get("/greeting"))
            answered.append(number)
            return body

        asking = [Deferred.fromCoroutine(ask(number)) for number in range(1, _STREAMS + 1)]
        self._tell.say("client", f"GET /greeting, {_STREAMS} times, before the first is answered")
        _expect("answers before any can have come", answered, [])
        _expect("the greetings", await _all(asking), [GREETING] * _STREAMS)
        self._tell.say("client", f"{len(answered)} answers; the first was to request {answered[0]}, the last to request {answered[-1]}")
        await self._ping(self._http2)

    async def _scene_slow_reader(self) -> None:
        self._tell.scene(
            "One slow reader",
            "A stream that nobody reads holds its own server back, by its window; its neighbours go on, and memory stays small.",
        )
        slow = self._http2.get("/download", flow=1)
        self._tell.event(await slow.await_response())
        first: Any = await slow.await_event()
        self._tell.event(first)
        self._tell.say("client", f"reads no further: the server may send {size_text(_WINDOW)} more, and not {size_text(DOWNLOAD)}")
        for _ in range(_STREAMS):
            await self._read_quietly(self._http2.get("/greeting"))
        digest = await self._read_quietly(self._http2.post("/upload", {"content-type": "application/octet-stream"}, PIECE * 4))
        _expect("the digest", digest, hashlib.sha256(PIECE * 4).hexdigest().encode())
        self._tell.say(
            "client", f"{_STREAMS} requests and an upload of {size_text(4 * len(PIECE))}: all {_STREAMS + 1} were answered meanwhile"
        )
        held = self._http2_origin.unsent("/download")
        if held < DOWNLOAD - 4 * _WINDOW:
            raise _NotAsToldError(f"the server has only {size_text(held)} left to send: it was not held back")
        self._tell.say("server", f"still has {size_text(held)} to send")
        slow.update_flow(DOWNLOAD)
        _expect("the size", len(first.data + await slow.await_body()), DOWNLOAD)
        self._tell.say("client", f"reads on, to the end: {size_text(DOWNLOAD)}")

    async def _scene_goodbye(self) -> None:
        self._tell.scene(
            "The server says goodbye",
            "GOAWAY says which requests it will answer; the others were certainly not processed, and are safe to send again.",
        )
        before, behind = self._http2.get("/greeting"), self._http2.get("/goodbye")
        self._tell.say("client", "GET /greeting, GET /goodbye")
        error = await self._failure(behind)
        _expect("the end of the second", type(error), gun.GoAway)
        again = self._http2.get("/greeting")
        state = again.info()
        _expect("the request", state and state.state, "waiting")
        self._tell.say("client", "GET /greeting instead, at once: it waits for the next connection")
        _expect("the greeting", await self._read(before, 200), GREETING)
        _expect("the second greeting", await self._read(again, 200), GREETING)
        down = await self._http2_owner.down
        _expect("killed and unprocessed", (down.killed_streams, down.unprocessed_streams), ((), (behind,)))
        _expect("the retries", self._retries, 2)
        self._tell.say("client", "nothing was lost, and it was no retry: the server had asked for it")

    async def _scene_websocket(self) -> gun.Stream:
        self._tell.scene(
            "A websocket",
            "A stream turns into a websocket, and takes over its connection of HTTP/1.1; both sides send messages as they like.",
        )
        self._websocket = await self._open(self._websocket_origin, _Owner(self._tell), retry=0)
        self._tell.say("client", f"ws_upgrade('/chat'), asking for the subprotocol {SUBPROTOCOL!r}, and to compress")
        stream = self._websocket.ws_upgrade("/chat", ws_opts={"protocols": [SUBPROTOCOL, "shouting"], "compress": True})
        upgrade = await stream.await_upgrade()
        self._tell.event(upgrade)
        agreed = dict(upgrade.headers)
        _expect("the subprotocol", agreed.get(b"sec-websocket-protocol"), SUBPROTOCOL.encode())
        _expect("the extension", agreed.get(b"sec-websocket-extensions"), b"permessage-deflate")
        await self._send(stream, gun.Text("Hello from the client"))
        await self._send(stream, gun.Binary(PIECE))
        size = self._websocket_origin.message_sizes()[-1]
        if size > len(PIECE) // 10:
            raise _NotAsToldError(f"{size_text(len(PIECE))} went as {size_text(size)}: they were not compressed")
        self._tell.say("server", f"got {size_text(len(PIECE))} as {size_text(size)}: they were compressed")
        _expect("the protocol", self._websocket.info().protocol, "ws")
        await self._ping(self._websocket)
        return stream

    async def _ping(self, conn: gun.Connection) -> None:
        seconds = await _soon("the answer to the ping", conn.ping(), self._reactor)
        self._tell.say("ping", f"answered after {seconds * 1000:.1f} ms")

    async def _send(self, stream: gun.Stream, frame: gun.Frame, answer: gun.Frame | None = None) -> None:
        """Send a frame, to which the server answers, if nothing else, with the same."""
        self._tell.say("client", f"ws_send: {_describe_frame(frame)}")
        stream.ws_send(frame)
        event: Any = await stream.await_event()
        self._tell.event(event)
        _expect("the answer", event.frame, answer or frame)

    async def _scene_closing(self, stream: gun.Stream) -> None:
        self._tell.scene(
            "The closing handshake", "Each side says Close, with a code and perhaps a reason; then the connection ends in good order."
        )
        await self._send(stream, gun.Close(1000, "that is all"), answer=gun.Close(1000))
        _expect("the reason of the end", await _soon("the end", self._websocket.when_terminated(), self._reactor), None)
        try:
            stream.ws_send("one more thing")
        except gun.BadState as error:
            self._tell.say("refused", str(error))
        else:
            raise _NotAsToldError("a message was taken after the end")

    async def _scene_websockets(self) -> None:
        self._tell.scene(
            "Websockets over HTTP/2",
            "Each is a stream of the one connection (RFC 8441), beside ordinary requests; where it closes, the connection stays up.",
        )
        ups = self._http2_owner.ups
        chats = [self._http2.ws_upgrade("/chat") for _ in range(2)]
        self._tell.say("client", "ws_upgrade('/chat'), twice, on the connection of HTTP/2")
        for chat in chats:
            self._tell.event(await chat.await_upgrade())
        self._tell.say("client", f"GET /greeting, {_STREAMS} times")
        sending = [self._send(chat, gun.Text(f"Hello from websocket {number}")) for number, chat in enumerate(chats, 1)]
        asking = [self._read_quietly(self._http2.get("/greeting")) for _ in range(_STREAMS)]
        answers = await _all([Deferred.fromCoroutine(one) for one in (*sending, *asking)])
        _expect("the greetings", answers[len(chats) :], [GREETING] * _STREAMS)
        self._tell.say("client", f"{_STREAMS} requests and {len(chats)} messages: all were answered")
        for chat in chats:
            await self._send(chat, gun.Close(1000), answer=gun.Close(1000))
        _expect("the greeting", await self._read_quietly(self._http2.get("/greeting")), GREETING)
        _expect("the times it was up", self._http2_owner.ups, ups)
        self._tell.say("client", "both are closed; the connection has stayed up, and answers requests")

    async def _scene_refusal(self) -> None:
        self._tell.scene(
            "A refusal", "A server that declines gives an ordinary response: await_upgrade fails with it, and the connection goes on."
        )
        for conn in (self._conn, self._http2):
            self._tell.say("client", f"ws_upgrade('/private'), where the protocol is {conn.info().protocol}")
            stream = conn.ws_upgrade("/private")
            try:
                await stream.await_upgrade()
            except gun.UpgradeRefused as error:
                self._tell.say("error", f"{type(error).__name__}: {error}", _RED)
                response: Any = error.response
                self._tell.event(response)
                _expect("the status", response.status, 403)
            else:
                raise _NotAsToldError("the server was to refuse, and did not")
            _expect("what the server says", await self._read(stream, 403), REFUSAL)
            _expect("the greeting", await self._read_quietly(conn.get("/greeting")), GREETING)

    async def _scene_feed(self) -> None:
        self._tell.scene(
            "A feed that comes back",
            "on_up is called whenever the connection is up: there the feed is asked for again, from where it broke off.",
        )
        feed, origin = _Feed(self._reactor, self._tell), self._websocket_origin
        self._websocket = await self._dial(origin, _Owner(self._tell), on_up=feed.follow, retry_fun=feed.wait_longer)
        items = await feed.next_items()
        self._tell.say("server", "is killed", _YELLOW)
        await origin.die()
        await _soon("the second retry", feed.second_retry, self._reactor)
        origin.start()
        self._tell.say("server", "listens again")
        items += await feed.next_items()
        _expect("the items", items, [f"item {number}" for number in range(1, 2 * FEED + 1)])
        self._tell.say("client", f"{len(items)} items: none is missing, none came twice")

    async def _scene_shutdown(self) -> None:
        self._tell.scene("The end", "shutdown() lets what is under way finish and ends a connection for good; it takes no more requests.")
        for conn in (self._conn, self._http2, self._websocket):
            _expect("the reason of the end", await conn.shutdown(), None)
            self._tell.say("client", f"{conn!r}")
        try:
            self._conn.get("/greeting")
        except gun.ShuttingDown as error:
            self._tell.say("refused", str(error))
        else:
            raise _NotAsToldError("a request was taken after the end")

    def _decide(self, left: int, options: gun.Options) -> Mapping[str, Any]:
        """The connection's `retry_fun`: the first attempt finds nobody, before the second the server is back."""
        self._retries += 1
        self._tell.say("retry", f"attempt {self._retries}, {left} left", _YELLOW)
        if self._retries == 2:
            self._restart()
        return {"retries": left - 1, "timeout": 0.0}

    def _restart(self) -> None:
        try:
            self._origin.start()
        except CannotListenError as error:
            # Somebody else has taken the port meanwhile: the request that waits fails, and with it the story.
            self._tell.say("server", str(error), _RED)
            self._reactor.callLater(0, self._conn.close)
        else:
            self._tell.say("server", "listens again")

    async def _read(self, stream: gun.Stream, status: int, kinds: list[type] | None = None) -> bytes:
        """The content of the answer, whose events are told, and whose kinds are added to `kinds`."""
        content = b""
        async for event in stream:
            self._tell.event(event)
            if kinds is not None:
                kinds.append(type(event))
            if isinstance(event, gun.Response):
                _expect("the status", event.status, status)
            elif isinstance(event, gun.Data):
                content += event.data
        return content

    async def _read_quietly(self, stream: gun.Stream) -> bytes:
        """The content of the answer, whose events are not told."""
        response = await stream.await_response()
        _expect("a good answer", response.status // 100, 2)
        return await stream.await_body()

    async def _failure(self, stream: gun.Stream) -> gun.GunError:
        try:
            while True:
                event = await stream.await_event()
                _expect("the end of the stream", event.fin if isinstance(event, gun.Data) else False, False)
        except gun.GunError as error:
            self._tell.say("error", f"{type(error).__name__}: {error}", _RED)
            return error


def _soon(what: str, awaited: Deferred[Any], reactor: Any) -> Deferred[Any]:
    def late(result: object, seconds: float) -> None:
        raise _NotAsToldError(f"{what} has not come within {seconds:g} seconds")

    return awaited.addTimeout(_PATIENCE, reactor, late)


async def _all(asking: list[Deferred[Any]]) -> list[Any]:
    """What comes of all of them; fails as the first that does."""
    try:
        return await gatherResults(asking, consumeErrors=True)
    except FirstError as error:
        reason: Any = error.subFailure.value
        raise reason from error


class _Feed:
    """A client of the feed that outlives connections: `follow` is for their `on_up`, `wait_longer` for `retry_fun`."""

    def __init__(self, reactor: Any, teller: _Teller) -> None:
        self.second_retry: Deferred[None] = Deferred()
        self._reactor = reactor
        self._tell = teller
        self._items: DeferredQueue[str] = DeferredQueue()
        self._last = self._retries = 0
        self._backoff = gun.backoff(0.02, jitter=False)

    async def follow(self, conn: gun.Connection) -> None:
        """Ask for what comes after the last item, and take it as long as the connection lives."""
        self._tell.say("client", f"ws_upgrade('/feed?after={self._last}')")
        stream = conn.ws_upgrade(f"/feed?after={self._last}")
        try:
            async for event in stream:
                self._tell.event(event)
                if isinstance(event, gun.Ws) and isinstance(event.frame, gun.Text):
                    self._last = int(event.frame.text.removeprefix("item "))
                    self._items.put(event.frame.text)
        except gun.GunError as error:  # there will be another connection
            self._tell.say("error", f"{type(error).__name__}: {error}", _RED)

    def wait_longer(self, left: int, options: gun.Options) -> Mapping[str, Any]:
        """As `gun.backoff` says."""
        decision = self._backoff(left, options)
        self._retries += 1
        self._tell.say("retry", f"attempt {self._retries}, in {decision['timeout'] * 1000:.0f} ms", _YELLOW)
        if self._retries == 2:
            # Not at once: whoever waits for it may close the connection.
            self._reactor.callLater(0, self.second_retry.callback, None)
        return decision

    async def next_items(self) -> list[str]:
        """As many items as the server sends at once."""
        return [await _soon("an item", self._items.get(), self._reactor) for _ in range(FEED)]


class _Owner(gun.Receiver):
    """The connection's owner: tells of its ups and downs; `down` fires at the first of them."""

    def __init__(self, teller: _Teller) -> None:
        self.down: Deferred[gun.Down] = Deferred()
        self.ups = 0
        self._tell = teller

    def gun_up(self, event: gun.Up) -> None:
        self.ups += 1
        self._tell.event(event)

    def gun_down(self, event: gun.Down) -> None:
        self._tell.event(event)
        if not self.down.called:
            self.down.callback(event)


_BOLD, _RED, _GREEN, _YELLOW, _CYAN = "1", "31", "32", "33", "36"


class _Teller:
    """Writes the story: plain lines, in colour where somebody watches."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._colour = is_terminal(out) and not os.environ.get("NO_COLOR")
        self._scenes = 0
        self._unread = self._over = False

    def scene(self, title: str, sentence: str) -> None:
        if self._unread:
            raise BrokenPipeError
        self._scenes += 1
        self._write(f"\n{self._painted(f'{self._scenes}. {title}', _BOLD)}\n   {sentence}\n")

    def end(self) -> None:
        if self._unread:
            raise BrokenPipeError
        self._write(f"\n{self._painted('All went as told.', _GREEN)}\n")

    def fail(self, reason: str) -> None:
        """The last word: of what is closed now nothing is told."""
        self.say("FAILED", reason, _RED)
        self._over = True

    def say(self, who: str, text: str, colour: str = "") -> None:
        self._write(f"  {self._painted(f'{who:<9}', colour)} {text}\n")

    def event(self, event: Any) -> None:
        """One line for an event: its name as Gun has it, and what is in it."""
        colour = {"gun_up": _GREEN, "gun_down": _YELLOW}.get(event.told_as, _CYAN)
        fin = " (fin)" if getattr(event, "fin", False) else ""
        self.say(event.told_as.removeprefix("gun_"), f"{_DESCRIPTIONS[type(event)](event)}{fin}", colour)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text

    def _write(self, text: str) -> None:
        if self._over:
            return
        try:
            self.out.write(text)
            self.out.flush()
        except BrokenPipeError:
            # Not raised here: it would be in a receiver, where nobody expects it. The next scene is not begun.
            self._unread = True


def _describe_down(event: gun.Down) -> str:
    killed, unprocessed = len(event.killed_streams), len(event.unprocessed_streams)
    return f"{event.reason or 'in good order'}; streams killed: {killed}, certainly not processed: {unprocessed}"


def _describe_data(event: gun.Data) -> str:
    short = f": {_text(event.data.strip())}" if len(event.data) <= 80 and event.data.isascii() and event.data else ""
    return f"{size_text(len(event.data))}{short}"


def _describe_headers(event: gun.Inform | gun.Response | gun.Trailers) -> str:
    return ", ".join(f"{_text(name)}: {_text(value)}" for name, value in event.headers)


def _describe_upgrade(event: gun.Upgrade) -> str:
    answers = (b"sec-websocket-protocol", b"sec-websocket-extensions")  # to what was offered
    chosen = [f"{_text(name)}: {_text(value)}" for name, value in event.headers if name in answers]
    return ", ".join([*map(_text, event.protocols), *chosen])


def _describe_frame(frame: gun.Frame) -> str:
    return f"Binary, {size_text(len(frame.data))}" if isinstance(frame, gun.Binary) else repr(frame)


_DESCRIPTIONS: Mapping[type, Any] = {
    gun.Up: lambda event: f"the protocol is {event.protocol}",
    gun.Down: _describe_down,
    gun.Inform: lambda event: f"{event.status}, {_describe_headers(event)}",
    gun.Response: lambda event: f"{event.status}, {_describe_headers(event)}",
    gun.Data: _describe_data,
    gun.Trailers: _describe_headers,
    gun.Upgrade: _describe_upgrade,
    gun.Ws: lambda event: _describe_frame(event.frame),
}


def _text(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")

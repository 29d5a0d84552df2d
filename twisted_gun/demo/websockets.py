"""Scenes of websockets: over both versions of HTTP, a refusal, and a feed that comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue

import twisted_gun as gun
from twisted_gun.demo.server import FEED, GREETING, PIECE, REFUSAL, SUBPROTOCOL
from twisted_gun.demo.stage import STREAMS, Stage
from twisted_gun.demo.telling import YELLOW, NotAsToldError, Owner, Teller, all_of, describe_frame, expect, soon
from twisted_gun.progress import size_text

__all__ = ["a_websocket", "the_closing_handshake", "websockets_over_http2", "a_refusal", "a_feed_that_comes_back"]


async def a_websocket(stage: Stage) -> None:
    """Messages both ways."""
    stage.tell.scene(
        "A websocket",
        "A stream turns into a websocket, and takes over its connection of HTTP/1.1; both sides send messages as they like.",
    )
    stage.websocket = await stage.open(stage.websocket_origin, Owner(stage.tell), retry=0)
    stage.tell.say("client", f"ws_upgrade('/chat'), asking for the subprotocol {SUBPROTOCOL!r}, and to compress")
    stream = stage.chat = stage.websocket.ws_upgrade("/chat", ws_opts={"protocols": [SUBPROTOCOL, "shouting"], "compress": True})
    upgrade = await stream.await_upgrade()
    stage.tell.event(upgrade)
    agreed = dict(upgrade.headers)
    expect("the subprotocol", agreed.get(b"sec-websocket-protocol"), SUBPROTOCOL.encode())
    expect("the extension", agreed.get(b"sec-websocket-extensions"), b"permessage-deflate")
    await _send(stage, stream, gun.Text("Hello from the client"))
    await _send(stage, stream, gun.Binary(PIECE))
    size = stage.websocket_origin.message_sizes()[-1]
    if size > len(PIECE) // 10:
        raise NotAsToldError(f"{size_text(len(PIECE))} went as {size_text(size)}: they were not compressed")
    stage.tell.say("server", f"got {size_text(len(PIECE))} as {size_text(size)}: they were compressed")
    expect("the protocol", stage.websocket.info().protocol, "ws")
    await stage.ping(stage.websocket)


async def the_closing_handshake(stage: Stage) -> None:
    """In good order."""
    stream = stage.chat
    stage.tell.scene(
        "The closing handshake", "Each side says Close, with a code and perhaps a reason; then the connection ends in good order."
    )
    await _send(stage, stream, gun.Close(1000, "that is all"), answer=gun.Close(1000))
    expect("the reason of the end", await soon("the end", stage.websocket.when_terminated(), stage.reactor), None)
    try:
        stream.ws_send("one more thing")
    except gun.BadState as error:
        stage.tell.say("refused", str(error))
    else:
        raise NotAsToldError("a message was taken after the end")


async def websockets_over_http2(stage: Stage) -> None:
    """Beside requests."""
    stage.tell.scene(
        "Websockets over HTTP/2",
        "Each is a stream of the one connection (RFC 8441), beside ordinary requests; where it closes, the connection stays up.",
    )
    ups = stage.http2_owner.ups
    chats = [stage.http2.ws_upgrade("/chat") for _ in range(2)]
    stage.tell.say("client", "ws_upgrade('/chat'), twice, on the connection of HTTP/2")
    for chat in chats:
        stage.tell.event(await chat.await_upgrade())
    stage.tell.say("client", f"GET /greeting, {STREAMS} times")
    sending = [_send(stage, chat, gun.Text(f"Hello from websocket {number}")) for number, chat in enumerate(chats, 1)]
    asking = [stage.read_quietly(stage.http2.get("/greeting")) for _ in range(STREAMS)]
    answers = await all_of([Deferred.fromCoroutine(one) for one in (*sending, *asking)])
    expect("the greetings", answers[len(chats) :], [GREETING] * STREAMS)
    stage.tell.say("client", f"{STREAMS} requests and {len(chats)} messages: all were answered")
    for chat in chats:
        await _send(stage, chat, gun.Close(1000), answer=gun.Close(1000))
    expect("the greeting", await stage.read_quietly(stage.http2.get("/greeting")), GREETING)
    expect("the times it was up", stage.http2_owner.ups, ups)
    stage.tell.say("client", "both are closed; the connection has stayed up, and answers requests")


async def a_refusal(stage: Stage) -> None:
    """By an ordinary response."""
    stage.tell.scene(
        "A refusal", "A server that declines gives an ordinary response: await_upgrade fails with it, and the connection goes on."
    )
    for conn in (stage.conn, stage.http2):
        stage.tell.say("client", f"ws_upgrade('/private'), where the protocol is {conn.info().protocol}")
        stream = conn.ws_upgrade("/private")
        try:
            await stream.await_upgrade()
        except gun.UpgradeRefused as error:
            stage.tell.error(error)
            response: Any = error.response
            stage.tell.event(response)
            expect("the status", response.status, 403)
        else:
            raise NotAsToldError("the server was to refuse, and did not")
        expect("what the server says", await stage.read(stream, 403), REFUSAL)
        expect("the greeting", await stage.read_quietly(conn.get("/greeting")), GREETING)


async def a_feed_that_comes_back(stage: Stage) -> None:
    """From where it broke off."""
    stage.tell.scene(
        "A feed that comes back",
        "on_up is called whenever the connection is up: there the feed is asked for again, from where it broke off.",
    )
    feed, origin = _Feed(stage.reactor, stage.tell), stage.websocket_origin
    stage.websocket = await stage.dial(origin, Owner(stage.tell), on_up=feed.follow, retry_fun=feed.wait_longer)
    items = await feed.next_items()
    stage.tell.say("server", "is killed", YELLOW)
    await origin.die()
    await soon("the second retry", feed.second_retry, stage.reactor)
    origin.start()
    stage.tell.say("server", "listens again")
    items += await feed.next_items()
    expect("the items", items, [f"item {number}" for number in range(1, 2 * FEED + 1)])
    stage.tell.say("client", f"{len(items)} items: none is missing, none came twice")


async def _send(stage: Stage, stream: gun.Stream, frame: gun.Frame, answer: gun.Frame | None = None) -> None:
    """Send a frame, to which the server answers, if nothing else, with the same."""
    stage.tell.say("client", f"ws_send: {describe_frame(frame)}")
    stream.ws_send(frame)
    event: Any = await stream.await_event()
    stage.tell.event(event)
    expect("the answer", event.frame, answer or frame)


class _Feed:
    """A client of the feed that outlives connections: `follow` is for their `on_up`, `wait_longer` for `retry_fun`."""

    def __init__(self, reactor: Any, teller: Teller) -> None:
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
            self._tell.error(error)

    def wait_longer(self, left: int, options: gun.Options) -> Mapping[str, Any]:
        """As `gun.backoff` says."""
        decision = self._backoff(left, options)
        self._retries += 1
        self._tell.say("retry", f"attempt {self._retries}, in {decision['timeout'] * 1000:.0f} ms", YELLOW)
        if self._retries == 2:
            # Not at once: whoever waits for it may close the connection.
            self._reactor.callLater(0, self.second_retry.callback, None)
        return decision

    async def next_items(self) -> list[str]:
        """As many items as the server sends at once."""
        return [await soon("an item", self._items.get(), self._reactor) for _ in range(FEED)]

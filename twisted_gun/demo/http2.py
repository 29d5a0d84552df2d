"""Scenes of HTTP/2: many streams, one of them slow, and a server that says goodbye."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from twisted_gun.demo.server import DOWNLOAD, GREETING, PIECE
from twisted_gun.demo.stage import STREAMS, WINDOW, Stage
from twisted_gun.demo.telling import NotAsToldError, all_of, expect
from twisted_gun.progress import size_text

__all__ = ["many_streams", "one_slow_reader", "the_server_says_goodbye"]


async def many_streams(stage: Stage) -> None:
    """Side by side."""
    stage.tell.scene("HTTP/2", "Another server: TLS agrees on HTTP/2, and one connection carries many requests side by side.")
    # Windows of 256 KiB, so that the next scene shows what they are for.
    options = {"initial_stream_window_size": WINDOW, "stream_window_margin_size": 0}
    stage.http2 = await stage.open(stage.http2_origin, stage.http2_owner, http2_opts=options)
    expect("the protocol", stage.http2.info().protocol, "http2")
    answered: list[int] = []

    async def ask(number: int) -> bytes:
        body = await stage.read_quietly(stage.http2.get("/greeting"))
        answered.append(number)
        return body

    asking = [Deferred.fromCoroutine(ask(number)) for number in range(1, STREAMS + 1)]
    stage.tell.say("client", f"GET /greeting, {STREAMS} times, before the first is answered")
    expect("answers before any can have come", answered, [])
    expect("the greetings", await all_of(asking), [GREETING] * STREAMS)
    stage.tell.say("client", f"{len(answered)} answers; the first was to request {answered[0]}, the last to request {answered[-1]}")
    await stage.ping(stage.http2)


async def one_slow_reader(stage: Stage) -> None:
    """Whom the others need not wait for."""
    stage.tell.scene(
        "One slow reader",
        "A stream that nobody reads holds its own server back, by its window; its neighbours go on, and memory stays small.",
    )
    slow = stage.http2.get("/download", flow=1)
    stage.tell.event(await slow.await_response())
    first: Any = await slow.await_event()
    stage.tell.event(first)
    stage.tell.say("client", f"reads no further: the server may send {size_text(WINDOW)} more, and not {size_text(DOWNLOAD)}")
    for _ in range(STREAMS):
        await stage.read_quietly(stage.http2.get("/greeting"))
    digest = await stage.read_quietly(stage.http2.post("/upload", {"content-type": "application/octet-stream"}, PIECE * 4))
    expect("the digest", digest, hashlib.sha256(PIECE * 4).hexdigest().encode())
    stage.tell.say("client", f"{STREAMS} requests and an upload of {size_text(4 * len(PIECE))}: all {STREAMS + 1} were answered meanwhile")
    held = stage.http2_origin.unsent("/download")
    if held < DOWNLOAD - 4 * WINDOW:
        raise NotAsToldError(f"the server has only {size_text(held)} left to send: it was not held back")
    stage.tell.say("server", f"still has {size_text(held)} to send")
    slow.update_flow(DOWNLOAD)
    expect("the size", len(first.data + await slow.await_body()), DOWNLOAD)
    stage.tell.say("client", f"reads on, to the end: {size_text(DOWNLOAD)}")


async def the_server_says_goodbye(stage: Stage) -> None:
    """And nothing is lost."""
    stage.tell.scene(
        "The server says goodbye",
        "GOAWAY says which requests it will answer; the others were certainly not processed, and are safe to send again.",
    )
    before, behind = stage.http2.get("/greeting"), stage.http2.get("/goodbye")
    stage.tell.say("client", "GET /greeting, GET /goodbye")
    error = await stage.failure(behind)
    expect("the end of the second", type(error), gun.GoAway)
    again = stage.http2.get("/greeting")
    state = again.info()
    expect("the request", state and state.state, "waiting")
    stage.tell.say("client", "GET /greeting instead, at once: it waits for the next connection")
    expect("the greeting", await stage.read(before, 200), GREETING)
    expect("the second greeting", await stage.read(again, 200), GREETING)
    down = await stage.http2_owner.down
    expect("killed and unprocessed", (down.killed_streams, down.unprocessed_streams), ((), (behind,)))
    expect("the retries", stage.retries, 2)
    stage.tell.say("client", "nothing was lost, and it was no retry: the server had asked for it")

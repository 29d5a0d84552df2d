"""Scenes of HTTP/1.1: a connection, its requests, its death and return."""

from __future__ import annotations

import hashlib

import twisted_gun as gun
from twisted_gun.demo.server import DOWNLOAD, GREETING, HALF, PIECE
from twisted_gun.demo.stage import Stage
from twisted_gun.demo.telling import YELLOW, expect
from twisted_gun.progress import ProgressBar, size_text

__all__ = ["a_connection", "a_request", "a_streamed_upload", "hints_and_trailers", "a_big_download", "the_server_dies", "it_comes_back"]


async def a_connection(stage: Stage) -> None:
    """It is up when TLS is."""
    stage.tell.scene("A connection", "gun.open() returns at once; the owner is told when TLS is up and the certificate was verified.")
    stage.conn = await stage.open(stage.origin, stage.owner)


async def a_request(stage: Stage) -> None:
    """Its events, one by one."""
    stage.tell.scene("A request", "A request is a stream; its events come in order, and `fin` says which is the last.")
    stage.tell.say("client", "GET /greeting")
    body = await stage.read(stage.conn.get("/greeting"), 200)
    expect("the greeting", body, GREETING)


async def a_streamed_upload(stage: Stage) -> None:
    """In pieces."""
    stage.tell.scene("A streamed upload", "The content of a request may follow piece by piece; the server answers with its SHA-256 digest.")
    stream = stage.conn.post("/upload", {"content-type": "application/octet-stream"})
    digest = hashlib.sha256()
    for number, piece in enumerate((PIECE, PIECE[:1000], b"the end"), 1):
        stage.tell.say("client", f"POST /upload, piece {number}: {size_text(len(piece))}")
        digest.update(piece)
        stream.data(piece, fin=number == 3)
    expect("the digest", await stage.read(stream, 201), digest.hexdigest().encode())


async def hints_and_trailers(stage: Stage) -> None:
    """What comes before an answer, and after it."""
    stage.tell.scene(
        "Hints and trailers",
        "A server may send hints (103) before its answer, and trailer fields after it: each is an event.",
    )
    stage.tell.say("client", "GET /hints")
    stream = stage.conn.get("/hints")
    kinds: list[type] = []
    expect("the page", await stage.read(stream, 200, kinds), b"<html></html>")
    expect("first and last event", (kinds[0], kinds[-1]), (gun.Inform, gun.Trailers))


async def a_big_download(stage: Stage) -> None:
    """With a bar."""
    stage.tell.scene(
        "A big download",
        "It is read piece by piece; a server that is faster than its reader is held back, so memory stays small.",
    )
    stream = stage.conn.get("/download")
    response = await stream.await_response()
    stage.tell.event(response)
    bar = ProgressBar(stage.tell.out, DOWNLOAD, stage.reactor.seconds)
    digest = hashlib.sha256()
    async for chunk in stream.chunks():
        digest.update(chunk)
        bar.advance(len(chunk))
    bar.finish()
    expect("the size", bar.done, DOWNLOAD)
    expect("the digest", digest.digest(), hashlib.sha256(PIECE * (DOWNLOAD // len(PIECE))).digest())
    stage.tell.say("client", f"{size_text(DOWNLOAD)}, each of them as it was sent")


async def the_server_dies(stage: Stage) -> None:
    """In the middle of an answer."""
    stage.tell.scene(
        "The server dies",
        "Both streams end with the reason why; gun_down lists them as killed, for they may have been processed.",
    )
    half, behind = stage.conn.get("/half"), stage.conn.get("/greeting")
    stage.tell.event(await half.await_response())
    stage.tell.event(await half.await_event())
    stage.tell.say("server", f"is killed, having sent {size_text(HALF)} of {size_text(DOWNLOAD)}", YELLOW)
    await stage.origin.die()
    expect("the end of the first", type(await stage.failure(half)), gun.Truncated)
    expect("the end of the second", type(await stage.failure(behind)), gun.StreamClosed)
    down = await stage.owner.down
    expect("the killed streams", down.killed_streams, (half, behind))


async def it_comes_back(stage: Stage) -> None:
    """And so does what was asked for meanwhile."""
    stage.tell.scene(
        "It comes back",
        "The connection dials again by itself; a request made while it is down is kept, and sent when it is up.",
    )
    stream = stage.conn.get("/greeting")
    state = stream.info()
    expect("the request", state and state.state, "waiting")
    stage.tell.say("client", "GET /greeting, while the connection is down: the request waits")
    expect("the greeting", await stage.read(stream, 200), GREETING)
    expect("the retries", stage.retries, 2)
    expect("the times it was up", stage.owner.ups, 2)

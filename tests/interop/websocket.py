"""
Servers of websockets in Python, for the tests of websockets: ``websocket.py PACKAGE KEY CERTIFICATE [compress]``.

They do some of what websocket.js does: by its path a websocket echoes, tells its headers, closes, or vanishes. The ports are printed as
JSON: "plain", and "secure" over TLS.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus
from importlib import import_module
from typing import Any

#: Send a message; close with a code and a reason; cut the connection.
Send = Callable[[Any], Awaitable[object]]
Close = Callable[[int, str], Awaitable[object]]
Cut = Callable[[], object]

#: At most in one message.
LARGEST = 2**26


async def serve(path: str, headers: Iterable[tuple[str, str]], messages: AsyncIterator[Any], send: Send, close: Close, cut: Cut) -> None:
    """What is done on a websocket at `path`, whatever the server."""
    route = path.split("/")[1]
    if route == "told":
        await send(json.dumps(dict(headers)))
    async for message in messages:
        if route == "close":
            await close(int(message), "as you wish")
            return
        if route == "vanish":
            cut()
            return
        await send(message)


async def with_websockets(plain: socket.socket, secure: socket.socket, context: ssl.SSLContext, compress: bool) -> None:
    """The package websockets."""
    server = import_module("websockets.asyncio.server")

    async def opened(websocket: Any) -> None:
        request = websocket.request
        cut = websocket.transport.abort
        await serve(request.path, request.headers.raw_items(), aiter(websocket), websocket.send, websocket.close, cut)

    def asked(websocket: Any, request: Any) -> Any:
        return websocket.respond(HTTPStatus.FORBIDDEN, "not so") if request.path == "/refused" else None

    options: Any = {"process_request": asked, "max_size": LARGEST, "subprotocols": ["echo.2"], "select_subprotocol": _choose}
    options["compression"] = "deflate" if compress else None
    async with server.serve(opened, sock=plain, **options), server.serve(opened, sock=secure, ssl=context, **options):
        await asyncio.get_running_loop().create_future()


def _choose(_: object, offered: Any) -> str | None:
    return "echo.2" if "echo.2" in offered else None


async def with_aiohttp(plain: socket.socket, secure: socket.socket, context: ssl.SSLContext, compress: bool) -> None:
    """The package aiohttp."""
    web: Any = import_module("aiohttp.web")

    async def opened(request: Any) -> Any:
        if request.path == "/refused":
            return web.Response(status=403, text="not so")
        websocket = web.WebSocketResponse(max_msg_size=LARGEST, compress=compress, protocols=["echo.2"])
        await websocket.prepare(request)

        async def messages() -> AsyncIterator[Any]:
            async for message in websocket:
                yield message.data

        def send(message: Any) -> Awaitable[object]:
            sent: Awaitable[object] = websocket.send_str(message) if isinstance(message, str) else websocket.send_bytes(message)
            return sent

        async def close(code: int, reason: str) -> None:
            await websocket.close(code=code, message=reason.encode())

        await serve(request.path, request.headers.items(), messages(), send, close, request.transport.abort)
        return websocket

    application = web.Application()
    application.router.add_get("/{path:.*}", opened)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.SockSite(runner, plain).start()
    await web.SockSite(runner, secure, ssl_context=context).start()
    await asyncio.get_running_loop().create_future()


async def with_hypercorn(plain: socket.socket, secure: socket.socket, _: ssl.SSLContext, compress: bool) -> None:
    """The package hypercorn, which speaks HTTP/2 too: over TLS by ALPN, in the clear by prior knowledge."""
    config = import_module("hypercorn.config").Config()
    config.bind, config.insecure_bind = [f"fd://{secure.fileno()}"], [f"fd://{plain.fileno()}"]
    config.keyfile, config.certfile = sys.argv[2:4]
    config.errorlog = None
    config.websocket_max_message_size = LARGEST
    await import_module("hypercorn.asyncio").serve(_application, config, shutdown_trigger=asyncio.get_running_loop().create_future)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{scope['method']} {scope['path']}".encode()})
        return
    if scope["type"] != "websocket":
        raise ValueError(scope["type"])
    await receive()
    if scope["path"] == "/refused":
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"not so"})
        return
    await send({"type": "websocket.accept", "subprotocol": _choose(None, scope["subprotocols"])})

    async def messages() -> AsyncIterator[Any]:
        while (event := await receive())["type"] == "websocket.receive":
            yield event["bytes"] if event.get("text") is None else event["text"]

    def answer(message: Any) -> Any:
        return send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})

    def close(code: int, reason: str) -> Any:
        return send({"type": "websocket.close", "code": code, "reason": reason})

    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    await serve(scope["path"], headers, messages(), answer, close, lambda: None)


def main(package: str, key: str, certificate: str, *options: str) -> None:
    """Listen, say where, and serve until the process is ended; with the option "compress" with permessage-deflate."""
    plain, secure = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    sys.stdout.write(json.dumps({"plain": plain.getsockname()[1], "secure": secure.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    run = {"websockets": with_websockets, "aiohttp": with_aiohttp, "hypercorn": with_hypercorn}[package]
    asyncio.run(run(plain, secure, context, "compress" in options))


if __name__ == "__main__":
    main(*sys.argv[1:])

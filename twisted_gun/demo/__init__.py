"""
The demo: a story in scenes, told by connections to servers of our own, with every event as it comes.

Nothing in it waits for time to pass, but for a few short delays of `gun.backoff`: each step follows from an event. What does not go as it
is told ends the story. Here is its order; the scenes are in modules by theme, and what they share is in `stage.py`.
"""

from __future__ import annotations

from typing import Any, TextIO

from twisted.internet.defer import CancelledError

import twisted_gun as gun
from twisted_gun.demo import http, http2, tunnels, websockets
from twisted_gun.demo.stage import Stage
from twisted_gun.demo.telling import NotAsToldError, Teller, expect
from twisted_gun.exits import Exit

__all__ = ["run"]


async def run(reactor: Any, out: TextIO) -> int:
    """Tell the story on `out`; gives 0, or 1 after a line that says what did not go as told."""
    teller = Teller(out)
    stage = Stage(reactor, teller)
    try:
        for scene in _SCENES:
            await scene(stage)
        teller.end()
    except BrokenPipeError:
        return Exit.PIPE_CLOSED
    except CancelledError:
        raise
    except NotAsToldError as error:
        teller.fail(str(error))
        return Exit.FAILED
    except Exception as error:  # whatever it is, the one who watches shall see it
        teller.fail(f"{type(error).__name__}: {error}")
        return Exit.FAILED
    finally:
        await stage.end()
    return Exit.OK


async def _the_end(stage: Stage) -> None:
    stage.tell.scene("The end", "shutdown() lets what is under way finish and ends a connection for good; it takes no more requests.")
    for conn in (stage.conn, stage.http2, stage.websocket):
        expect("the reason of the end", await conn.shutdown(), None)
        stage.tell.say("client", f"{conn!r}")
    try:
        stage.conn.get("/greeting")
    except gun.ShuttingDown as error:
        stage.tell.say("refused", str(error))
    else:
        raise NotAsToldError("a request was taken after the end")


_SCENES = (
    http.a_connection,
    http.a_request,
    http.a_streamed_upload,
    http.hints_and_trailers,
    http.a_big_download,
    http.the_server_dies,
    http.it_comes_back,
    http2.many_streams,
    http2.one_slow_reader,
    http2.the_server_says_goodbye,
    websockets.a_websocket,
    websockets.the_closing_handshake,
    websockets.websockets_over_http2,
    websockets.a_refusal,
    websockets.a_feed_that_comes_back,
    tunnels.a_tunnel,
    tunnels.two_tunnels_at_once,
    tunnels.socks5,
    tunnels.tls_in_tls,
    tunnels.a_proxy_and_a_reconnect,
    tunnels.a_proxy_that_refuses,
    _the_end,
)

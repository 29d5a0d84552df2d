"""
Websockets of Scrapy's download handler, in memory: how they are opened, read, refused and ended.

Whole crawls with websockets are in ``tests/test_scrapy_crawls.py``.
"""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

import twisted_gun as gun
from tests.scrapy_stage import MISSING, CrawlCase, CrawlWorld
from twisted_gun.testing import WebsocketPeer

if MISSING is None:
    from scrapy import signals
    from scrapy.exceptions import (
        DownloadCancelledError,
        DownloadConnectionRefusedError,
        DownloadFailedError,
        DownloadTimeoutError,
        StopDownload,
    )

    from twisted_gun.scrapy import WebSocket, WebSocketResponse, websocket


class WebSocketWorld(CrawlWorld):
    """A crawl of websocket servers."""

    def __init__(self, *steps: Any, tls: bool = False, settings: dict[str, Any] | None = None, **peer: Any) -> None:
        super().__init__(lambda: WebsocketPeer(steps, **peer), tls=tls, alpn=b"http/1.1" if tls else None, **(settings or {}))

    def ask(self, path: str = "/", **request: Any) -> Deferred[Any]:
        url = path if "://" in path else f"ws{'s' if self.scheme == 'https' else ''}://example.org{path}"
        return super().ask(url, **request)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """What a callback does with a websocket, as far as it comes."""
        done = Deferred.fromCoroutine(coroutine)
        self.pump()
        return done


class WebSocketCase(CrawlCase):
    """Crawls with websockets. What a callback awaits is a Deferred here, on every reactor: time is a clock's."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(websocket, "maybe_deferred_to_future", lambda deferred: deferred)

    def opened(self, world: WebSocketWorld, path: str = "/", **request: Any) -> WebSocket:
        """A websocket that has been opened."""
        response = self.successResultOf(world.ask(path, **request))
        self.assertIsInstance(response, WebSocketResponse)
        found: WebSocket = response.websocket
        return found

    def assert_hung_up(self, world: WebSocketWorld) -> None:
        """No connection is left."""
        world.pump()
        for endpoint in world.endpoints.values():
            self.assertTrue(all(link.client.disconnected for link in endpoint.links))


class OpeningTests(WebSocketCase):
    """The handshake as a download."""

    def test_response(self) -> None:
        """The response has what others have; its status is one that callbacks are given."""
        for tls in (False, True):
            world = WebSocketWorld(tls=tls, headers=[("x-server", "tests")])
            asked = world.ask("/chat?room=1", headers={"Origin": "https://example.org"})
            response = self.successResultOf(asked)
            self.assertEqual((response.status, response.headers[b"X-Server"], response.body), (200, b"tests", b""))
            self.assertEqual((response.protocol, response.certificate is not None), ("HTTP/1.1", tls))
            handshake = world.peer.handshake
            self.assertEqual((handshake.path, handshake.authority), (b"/chat?room=1", b"example.org"))
            self.assertIn((b"origin", b"https://example.org"), [(name.lower(), value) for name, value in handshake.headers])
            self.assertIs(response.replace(status=201).websocket, response.websocket)
            response.websocket.close()
            self.end(world)

    def test_options(self) -> None:
        """Options of websockets come from GUN_OPTIONS, and from the request, which says them anew."""
        world = WebSocketWorld(subprotocol="chat", settings={"GUN_OPTIONS": {"ws_opts": {"protocols": ["chat"]}}})
        self.opened(world).close()
        self.opened(world, meta={"gun_ws_opts": {"protocols": ["chat", "talk"]}}).close()
        offered = [peer.handshake.protocols for peer in world.peers]
        self.assertEqual(offered, [(b"chat",), (b"chat", b"talk")])
        websocket = self.opened(world, meta={"gun_ws_opts": {"protocols": ["chat"], "max_message_size": 5}})
        world.peer.end.send("123456")
        self.failureResultOf(world.run(websocket.receive()), gun.LimitReached)
        self.end(world)

    def test_not_to_be_sent(self) -> None:
        """What cannot be sent fails as what it is, nothing is sent, and no connection is left."""
        world = WebSocketWorld()
        for wrong in (
            {"method": "POST"},
            {"body": b"x"},
            {"headers": {"Sec-WebSocket-Protocol": "chat"}},
            {"meta": {"gun_ws_opts": {"protocols": "chat"}}},
            {"meta": {"gun_ws_opts": {"flow": 1}}},
            {"meta": {"gun_ws_opts": {"reply_to": print}}},
        ):
            self.failureResultOf(world.ask(**wrong), ValueError)
        self.assertEqual([peer.handshake for peer in world.peers if peer.handshake is not None], [])
        self.assert_hung_up(world)
        self.assertEqual(world.handler._origins.info().connections, 0)
        self.end(world)

    def test_bad_settings(self) -> None:
        """Options by which there would be nothing to read are refused where the handler is made."""
        for ws_opts in ({"flow": 1}, {"reply_to": print}):
            self.assertRaises(gun.OptionError, WebSocketWorld, settings={"GUN_OPTIONS": {"ws_opts": ws_opts}})

    def test_refused(self) -> None:
        """Any other answer is a response as elsewhere, with its content, and the connection is closed."""
        for status in (200, 404, 503):
            world = WebSocketWorld(("respond", status, [("content-type", "text/plain"), ("set-cookie", "a=b")], b"no websocket here"))
            response = self.successResultOf(world.ask())
            self.assertNotIsInstance(response, WebSocketResponse)
            self.assertEqual((response.status, response.text, response.headers[b"Set-Cookie"]), (status, "no websocket here", b"a=b"))
            self.assert_hung_up(world)
            self.end(world)

    def test_refused_without_content(self) -> None:
        """That may have none, or be cut off, or be too large."""
        head = b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n"
        for length, sent, expected in ((0, b"", b""), (20, b"partial", None), (20, b"x" * 20, b"x" * 20), (21, b"x" * 21, None)):
            world = WebSocketWorld(accept=False)
            asked = world.ask(meta={"download_maxsize": 20})
            world.peer.send_raw(head % length + sent)
            world.peer.drop()
            world.pump()
            if expected is None:
                self.failureResultOf(asked)
            else:
                self.assertEqual(self.successResultOf(asked).body, expected)
            self.end(world)

    def test_failures(self) -> None:
        """A handshake that goes wrong fails as downloads do, and leaves no connection."""
        world = WebSocketWorld(accept=False)
        asked = world.ask()
        world.peer.drop()
        world.pump()
        self.failureResultOf(asked, DownloadFailedError)
        asked = world.ask()
        world.peer.send_raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        world.pump()
        self.failureResultOf(asked, DownloadFailedError)
        world.endpoint("example.org", 80).refuse()
        self.failureResultOf(world.ask(), DownloadConnectionRefusedError)
        self.end(world)

    def test_time(self) -> None:
        """The handshake has the time of a download; what follows has all there is."""
        world = WebSocketWorld(accept=False)
        asked = world.ask(meta={"download_timeout": 3})
        world.advance(2.9)
        self.assertNoResult(asked)
        world.advance(0.2)
        self.failureResultOf(asked, DownloadTimeoutError)
        self.assert_hung_up(world)
        self.end(world)
        world = WebSocketWorld()
        websocket = self.opened(world, meta={"download_timeout": 3})
        world.advance(100.0)
        world.peer.end.send("still here")
        self.assertEqual(self.successResultOf(world.run(websocket.receive())), "still here")
        websocket.close()
        self.end(world)

    def test_cancelled(self) -> None:
        """A download that is cancelled leaves nothing behind, and what the server still says is not heard."""
        for when in ("dialling", "asked"):
            world = WebSocketWorld(accept=False)
            asked = world.ask() if when == "asked" else world.handler.download(_request())
            asked.cancel()
            self.failureResultOf(asked, DownloadCancelledError)
            if when == "asked":
                world.peer.accept()
            self.assert_hung_up(world)
            self.end(world)

    def test_not_cached(self) -> None:
        """Scrapy's cache is kept from keeping what cannot be told again."""
        world = WebSocketWorld()
        request = _request()
        asked = world.handler.download(request)
        world.pump()
        self.assertIs(request.meta["dont_cache"], True)
        self.successResultOf(asked).websocket.close()
        self.end(world)

    def test_stopped(self) -> None:
        """Who hears of the headers may stop it, as with any download."""

        def stop(**arguments: Any) -> None:
            raise StopDownload(fail=False)

        world = WebSocketWorld()
        world.crawler.signals.connect(stop, signal=signals.headers_received)
        response = self.successResultOf(world.ask())
        self.assertEqual((type(response) is WebSocketResponse, response.flags), (False, ["download_stopped"]))
        self.assert_hung_up(world)
        self.end(world)


class WaitingTests(WebSocketCase):
    """How many are open at a time."""

    def world(self, most: int = 2, **peer: Any) -> WebSocketWorld:
        return WebSocketWorld(settings={"GUN_MAX_WEBSOCKETS": most}, **peer)

    def test_limit(self) -> None:
        """A request for one more waits until one was closed, by its callback, by the server, or by whoever let go of it."""
        for how in ("spider", "server", "nobody"):
            world = self.world()
            first, second = self.opened(world), self.opened(world)
            waiting = [world.ask() for _ in range(2)]
            world.pump()
            self.assertEqual([deferred.called for deferred in waiting], [False, False])
            if how == "spider":
                first.close()
            elif how == "server":
                world.peers[0].end.close()
            else:
                del first
                gc.collect()
            world.pump()
            third = self.successResultOf(waiting[0]).websocket
            self.assertNoResult(waiting[1])
            second.close()
            world.pump()
            self.successResultOf(waiting[1]).websocket.close()
            third.close()
            self.end(world)

    def test_closing_does_not_count(self) -> None:
        """A server that does not answer a Close takes no place meanwhile, and is left after two looks."""
        world = self.world(1, answer_close=False)
        for _ in range(5):
            self.opened(world).close()
            world.pump()
        self.assertEqual(world.handler._origins.info().connections, 5)
        world.advance(1.0)
        world.advance(1.0)
        self.assert_hung_up(world)
        self.end(world)

    def test_refused_does_not_count(self) -> None:
        """Nor does what is refused, or fails."""
        world = self.world(1, refuse=404)
        for _ in range(3):
            self.assertEqual(self.successResultOf(world.ask()).status, 404)
            self.failureResultOf(world.ask(body=b"x"), ValueError)
        self.end(world)

    def test_time(self) -> None:
        """Waiting is within the time of the download, and can be cancelled."""
        world = self.world(1)
        websocket = self.opened(world)
        late, cancelled, third = world.ask(meta={"download_timeout": 3}), world.ask(), world.ask()
        world.advance(3.0)
        self.failureResultOf(late, DownloadTimeoutError)
        cancelled.cancel()
        self.failureResultOf(cancelled, DownloadCancelledError)
        self.assertEqual(len(world.peers), 1)
        websocket.close()
        world.pump()
        self.successResultOf(third).websocket.close()
        self.end(world)

    def test_no_limit(self) -> None:
        """0 is no limit."""
        world = self.world(0)
        websockets = [self.opened(world) for _ in range(150)]
        for websocket in websockets:
            websocket.close()
        self.end(world)

    def test_many_fail(self) -> None:
        """However many of those that wait fail at once, each has its result, and the next its place."""
        for wrong in ({"meta": {"gun_ws_opts": {"protocols": "chat"}}}, {"body": b"x"}, {"headers": {"Sec-WebSocket-Key": "x"}}):
            world = self.world(1)
            websocket = self.opened(world)
            failing = [world.ask(**wrong) for _ in range(1000)]
            waiting = world.ask()
            websocket.close()
            world.pump()
            for deferred in failing:
                self.failureResultOf(deferred, ValueError)
            self.successResultOf(waiting).websocket.close()
            self.end(world)

    def test_looked_at_meanwhile(self) -> None:
        """New ones do not put off the look at those that were closed, nor at the end of the crawl."""
        world = self.world(answer_close=False)
        engine = world.crawler.engine = SimpleNamespace(running=True, _slot=SimpleNamespace(closing=None))
        for _ in range(20):
            self.opened(world).close()
            world.advance(0.5)
            self.assertLessEqual(world.handler._origins.info().connections, 5)
        websocket = self.opened(world)
        received, waiting = world.run(websocket.receive()), [world.ask() for _ in range(5)]
        engine.running = False
        world.advance(1.0)
        self.assertEqual(world.peers[-2].end.received_close.code, 1001)
        self.assertEqual(len(world.peers), 22)
        for deferred in waiting[1:]:
            self.failureResultOf(deferred, DownloadCancelledError)
        self.failureResultOf(world.ask(), DownloadCancelledError)
        self.successResultOf(waiting[0])
        world.advance(1.0)
        self.assertIsNone(self.successResultOf(received))
        self.end(world)

    def test_end(self) -> None:
        """At the end those that wait fail."""
        world = self.world(1)
        websocket = self.opened(world)
        waiting = world.ask()
        self.end(world)
        self.failureResultOf(waiting, DownloadFailedError)
        websocket.close()


class MessageTests(WebSocketCase):
    """Messages there and back."""

    def test_messages(self) -> None:
        """Text comes as str, binary as bytes; pings are not told, and the server's Close is the end."""
        world = WebSocketWorld(echo=True)
        websocket = self.opened(world)
        websocket.send("text")
        websocket.send([b"binary", gun.Ping(b"?"), gun.Text("more")])
        world.pump()
        world.peer.end.close(1000, "enough")

        async def callback() -> list[str | bytes]:
            return [message async for message in websocket]

        self.assertEqual(self.successResultOf(world.run(callback())), ["text", b"binary", "more"])
        self.assertEqual(websocket.closed, gun.Close(1000, "enough"))
        self.assertEqual((self.successResultOf(world.run(websocket.receive())), self.successResultOf(world.run(callback()))), (None, []))
        self.assertRaises(gun.BadState, websocket.send, "late")
        world.crawler.signals.send_catch_log(signals.spider_closed)
        self.assertEqual((world.crawler.stats.values["gun/websockets"], world.crawler.stats.values["gun/messages"]), (1, 3))
        self.end(world)

    def test_receive(self) -> None:
        """One message at a time, within a time; after that one may go on."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        received = world.run(websocket.receive(timeout=2.0))
        world.advance(2.0)
        self.failureResultOf(received, gun.TimedOut)
        received = world.run(websocket.receive(timeout=2.0))
        world.peer.end.send("now")
        world.pump()
        self.assertEqual(self.successResultOf(received), "now")
        websocket.close()
        self.end(world)

    def test_lost(self) -> None:
        """An end without a Close is an error, once."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        world.peer.drop()
        self.failureResultOf(world.run(websocket.receive()), gun.GunError)
        self.assertIsNone(self.successResultOf(world.run(websocket.receive())))
        self.end(world)

    def test_too_large(self) -> None:
        """A message beyond ``max_message_size`` is one; one of just that size is not."""
        for size, fits in ((99, True), (100, True), (101, False)):
            world = WebSocketWorld()
            websocket = self.opened(world, meta={"gun_ws_opts": {"max_message_size": 100}})
            world.peer.end.send("x" * size)
            received = world.run(websocket.receive())
            if fits:
                self.assertEqual(self.successResultOf(received), "x" * size)
                websocket.close()
            else:
                self.failureResultOf(received, gun.LimitReached)
            self.end(world)

    def test_unread(self) -> None:
        """Unread messages hold the server back, and fill no memory."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        for _ in range(200):
            world.peer.end.send(b"x" * 10_000)
        world.pump()
        transport = world.endpoint("example.org", 80).links[0].client
        self.assertFalse(transport.reading)
        for _ in range(200):
            self.assertEqual(self.successResultOf(world.run(websocket.receive())), b"x" * 10_000)
        websocket.close()
        self.end(world)


class EndTests(WebSocketCase):
    """How websockets are closed."""

    def test_close(self) -> None:
        """Closing sends a Close, and ends the connection; who reads is told no more."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        world.peer.end.send("unread")
        websocket.close(4000, "bye")
        world.pump()
        self.assertEqual(world.peer.end.received_close, gun.Close(4000, "bye"))
        self.assertIsNone(self.successResultOf(world.run(websocket.receive())))
        websocket.close()
        self.assert_hung_up(world)
        self.end(world)

    def test_with(self) -> None:
        """``async with`` closes, after an exception too."""

        async def callback(websocket: WebSocket, error: Exception | None) -> str | bytes:
            async with websocket:
                async for message in websocket:
                    if error is not None:
                        raise error
                    return message
            raise AssertionError("nothing came")

        for error in (None, ValueError("mine")):
            world = WebSocketWorld()
            websocket = self.opened(world)
            world.peer.end.send("first")
            done = world.run(callback(websocket, error))
            if error is None:
                self.assertEqual(self.successResultOf(done), "first")
            else:
                self.assertIs(self.failureResultOf(done, ValueError).value, error)
            world.pump()
            self.assertEqual(world.peer.end.received_close, gun.Close(1000, ""))
            self.assert_hung_up(world)
            self.end(world)

    def test_let_go(self) -> None:
        """One that nobody holds any more is closed, with its response."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        received = world.run(websocket.receive())
        del websocket
        gc.collect()
        self.assertNoResult(received)  # who reads it holds it
        world.peer.end.send("last")
        world.pump()
        self.assertEqual(self.successResultOf(received), "last")
        del received
        gc.collect()
        self.assert_hung_up(world)
        self.end(world)

    def test_let_go_in_a_thread(self) -> None:
        """Where the collector runs in a thread of its own it is closed in the reactor's."""

        @implementer(IReactorFromThreads)
        class Threads:
            called: ClassVar[list[Any]] = []

            def callFromThread(self, callable: Any, *arguments: object, **_: object) -> None:  # noqa: A002 - the interface names it
                self.called.append((callable, *arguments))

        world = WebSocketWorld()
        websocket = self.opened(world)
        world.handler._websockets._reactor = Threads()
        del websocket
        gc.collect()
        world.pump()
        self.assertIsNone(world.peer.end.received_close)
        ((close, *arguments),) = Threads.called
        close(*arguments)
        self.assert_hung_up(world)
        self.assertEqual(world.peer.end.received_close, gun.Close(1000, ""))
        self.end(world)

    def test_callback_fails(self) -> None:
        """A callback that raises reads no more: what Scrapy tells of it closes the websocket, however long the exception is kept."""
        world = WebSocketWorld()
        response = self.successResultOf(world.ask())
        tell = partial(world.crawler.signals.send_catch_log, signals.spider_error, spider=world.crawler.spider)
        tell(response=_response(), failure=None)
        world.pump()
        self.assertIsNone(world.peer.end.received_close)
        tell(response=response, failure=None)
        self.assert_hung_up(world)
        self.end(world)

    def test_closed_meanwhile(self) -> None:
        """Closing it ends what waits for a message elsewhere, when the server has answered, or after two looks."""
        for answers in (True, False):
            world = WebSocketWorld(answer_close=answers)
            websocket = self.opened(world)
            received = world.run(websocket.receive())
            websocket.close()
            world.pump()
            world.advance(1.0)
            world.advance(1.0)
            self.assertIsNone(self.successResultOf(received))
            self.end(world)

    def test_crawl_ends(self) -> None:
        """When the spider is being closed, those who read find the end, and Scrapy's wait for them is over, whatever the server does."""
        for how in ("stopped", "closed"):
            for answers in (True, False):
                world = WebSocketWorld(answer_close=answers)
                slot = SimpleNamespace(closing=None)
                world.crawler.engine = SimpleNamespace(running=True, _slot=slot)
                websocket = self.opened(world)
                received = world.run(websocket.receive())
                for _ in range(5):
                    world.advance(1.0)
                self.assertNoResult(received)
                if how == "stopped":
                    world.crawler.engine.running = False
                else:
                    slot.closing = Deferred()
                world.advance(1.0)
                self.assertEqual(world.peer.end.received_close.code, 1001)
                if not answers:
                    self.assertNoResult(received)
                    world.advance(1.0)
                self.assertIsNone(self.successResultOf(received))
                self.end(world)

    def test_handler_ends(self) -> None:
        """The end of the handler is that of its websockets; none is opened after that."""
        world = WebSocketWorld()
        websocket = self.opened(world)
        received = world.run(websocket.receive())
        self.end(world)
        self.failureResultOf(received, gun.GunError)
        self.failureResultOf(world.ask(), DownloadFailedError)


def _response() -> Any:
    from scrapy.http import Response

    return Response("http://example.org/")


def _request() -> Any:
    from scrapy import Request

    return Request("ws://example.org/")

"""
Scrapy's download handler, in memory: requests as they go out, responses, limits, signals, time, and what is told when it goes wrong.

Scrapy's own tests of handlers are in ``tests/scrapy``. Without Scrapy all of this is skipped.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.scrapy_stage import MISSING, CrawlCase, CrawlWorld
from tests.stage import answer, every_answer
from twisted_gun.testing import Http2Peer

if MISSING is None:
    from scrapy import signals
    from scrapy.exceptions import (
        DownloadCancelledError,
        DownloadConnectionRefusedError,
        DownloadFailedError,
        DownloadTimeoutError,
        ResponseDataLossError,
        ScrapyDeprecationWarning,
        StopDownload,
        UnsupportedURLSchemeError,
    )

CUT_OFF = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\npartial"


class RequestTests(CrawlCase):
    """What is sent."""

    def sent(self, *arguments: Any, **request: Any) -> bytes:
        """A request as it reaches the server."""
        world = CrawlWorld()
        asked = world.ask(*arguments, **request)
        received: bytes = world.peer.received
        world.feed(answer(b""))
        self.assertEqual(self.successResultOf(asked).status, 200)
        self.end(world)
        return received

    def test_nothing_else(self) -> None:
        """No field is sent that Scrapy did not ask for, but Host; nor is the fragment."""
        self.assertEqual(self.sent("/a?b=c#d"), b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n\r\n")
        self.assertEqual(self.sent("http://example.org:8080?b"), b"GET /?b HTTP/1.1\r\nHost: example.org:8080\r\n\r\n")

    def test_verbatim(self) -> None:
        """A URL that is to be sent as it is is."""
        sent = self.sent("/a[0]?", meta={"verbatim_url": True})
        self.assertTrue(sent.startswith(b"GET /a[0]? HTTP/1.1\r\n") or b"%5B" in sent)  # Scrapy before 2.19 knows no such thing

    def test_fields(self) -> None:
        """Names are written as Scrapy writes them, each value of several is sent, and None is no value."""
        sent = self.sent(headers={"x-one": ["1", "2"], "Cookie": None, "USER-agent": "me", "Host": "other.example"})
        expected = b"GET / HTTP/1.1\r\nHost: other.example\r\nX-One: 1\r\nX-One: 2\r\nUser-Agent: me\r\n\r\n"
        self.assertEqual(sent, expected)

    def test_content(self) -> None:
        """Content goes with its length, whatever a field says; a POST without has the length 0."""
        self.assertTrue(
            self.sent(method="POST", body=b"abc", headers={"Content-Length": "9"}).endswith(
                b"Content-Length: 3\r\nHost: example.org\r\n\r\nabc"
            )
        )
        self.assertIn(b"Content-Length: 0\r\n", self.sent(method="POST"))

    def test_upgrade(self) -> None:
        """A request that is answered by another protocol, as it asked, fails at once."""
        world = CrawlWorld()
        asked = world.ask(headers={"Upgrade": "echo", "Connection": "upgrade"})
        world.feed(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        self.failureResultOf(asked, DownloadFailedError)
        self.end(world)

    def test_proxy_authorization(self) -> None:
        """What is for a proxy is not sent to an origin."""
        self.assertNotIn(b"secret", self.sent(headers={"Proxy-Authorization": "Basic secret"}))

    def test_reused(self) -> None:
        """One connection serves one request after another, and the statistics say so when the spider is closed."""
        world = CrawlWorld()
        for _ in range(3):
            asked = world.ask()
            world.feed(answer(b"x"))
            self.assertEqual(self.successResultOf(asked).body, b"x")
        self.assertEqual(len(world.peers), 1)
        world.crawler.signals.send_catch_log(signals.spider_closed)
        self.assertEqual(world.crawler.stats.values, {"gun/opened": 1, "gun/reused": 2, "gun/repeated": 0, "gun/responses/HTTP/1.1": 3})
        self.end(world)


class ResponseTests(CrawlCase):
    """What comes back."""

    def response(self, data: bytes, **request: Any) -> Any:
        """The response that Scrapy has where the server sends `data`."""
        world = CrawlWorld()
        asked = world.ask(**request)
        world.feed(data)
        response = self.successResultOf(asked)
        self.end(world)
        return response

    def test_all_of_it(self) -> None:
        """Status, fields with their duplicates, content, URL, protocol, and how long it took to answer."""
        from scrapy import Request

        world, request = CrawlWorld(), Request("http://example.org/a")
        asked = world.handler.download(request)
        world.pump()
        world.feed(answer(b"<html></html>", 404, b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"content-type: text/html"))
        response = self.successResultOf(asked)
        self.assertEqual((response.status, response.body, response.url), (404, b"<html></html>", request.url))
        self.assertEqual(response.headers.getlist("set-cookie"), [b"a=b", b"c=d"])
        self.assertEqual(type(response).__name__, "HtmlResponse")
        self.assertEqual((response.protocol, response.certificate, response.flags), ("HTTP/1.1", None, []))
        self.assertGreater(request.meta["download_latency"], 0)
        self.end(world)

    def test_no_content(self) -> None:
        """The response to HEAD has none, however much its fields promise: that is not too much."""
        response = self.response(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", method="HEAD", meta={"download_maxsize": 10})
        self.assertEqual((response.body, response.headers["Content-Length"]), (b"", b"5000"))

    def test_interim(self) -> None:
        """Interim responses are passed over."""
        self.assertEqual(self.response(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b"x")).body, b"x")

    def test_trailers(self) -> None:
        """Trailer fields are kept in the request's meta."""
        data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\n\r\n"
        self.assertEqual(self.response(data, meta={"a": "b"}).body, b"x")
        world = CrawlWorld()
        from scrapy import Request

        request = Request("http://example.org/")
        asked = world.handler.download(request)
        world.pump()
        world.feed(data)
        self.successResultOf(asked)
        self.assertEqual(request.meta["gun_trailers"]["Digest"], b"y")
        self.end(world)

    def test_lenient(self) -> None:
        """Heads that browsers take are taken: lines that are no field are left out, and lines may end with LF alone."""
        response = self.response(b"HTTP/1.1 200 OK\nA: 1\n\t2\n<meta>\nB: 3\nContent-Length: 1\n\nx")
        self.assertEqual((response.headers["A"].split(), response.headers["B"], response.body), ([b"1", b"2"], b"3", b"x"))

    def test_end_unknown(self) -> None:
        """Content that ends with the connection is flagged as perhaps not all."""
        for end in ("close", "abort"):
            world = CrawlWorld()
            asked = world.ask()
            world.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
            getattr(world.peer, end)()
            world.pump()
            response = self.successResultOf(asked)
            self.assertEqual((response.body, response.flags), (b"abc", ["partial"]))
            self.end(world)

    def test_http2(self) -> None:
        """HTTP/2 where the server has it, over TLS that verifies nothing unless it is told to; and who the server was."""
        world = CrawlWorld(Http2Peer, tls=True, alpn=b"h2")
        asked = world.ask("/a", headers={"Connection": "keep-alive", "X-A": "b"})
        (request,) = world.peer.requests
        self.assertEqual((request.path, request.authority, request.headers), (b"/a", b"example.org", ((b"x-a", b"b"),)))
        every_answer(world.peer)
        world.pump()
        response = self.successResultOf(asked)
        self.assertEqual((response.body, response.protocol), (b"/a", "h2"))
        issuer = response.certificate.original.to_cryptography().issuer
        self.assertEqual(issuer.rfc4514_string(), "CN=a trusted authority")
        self.assertIsInstance(response.ip_address, ipaddress.IPv4Address)
        self.end(world)

    def test_http1_over_tls(self) -> None:
        """Where the server has no HTTP/2, or GUN_HTTP2 says no, it is HTTP/1.1."""
        for http2 in (True, False):
            world = CrawlWorld(tls=True, alpn=b"http/1.1", GUN_HTTP2=http2)
            asked = world.ask()
            world.feed(answer(b"x"))
            self.assertEqual(self.successResultOf(asked).protocol, "HTTP/1.1")
            self.end(world)

    def test_verified(self) -> None:
        """With DOWNLOAD_VERIFY_CERTIFICATES an unknown authority is not trusted, and nothing is sent."""
        world = CrawlWorld(tls=True, DOWNLOAD_VERIFY_CERTIFICATES=True)
        error = self.failureResultOf(world.ask(), DownloadFailedError).value
        self.assertIn("certificate", str(error))
        self.assertEqual([peer.received for peer in world.peers], [b""])
        self.end(world)

    def test_logged(self) -> None:
        """TLS is logged where that is asked for, once a connection."""
        world = CrawlWorld(tls=True, DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING=True)
        for _ in range(2):
            asked = world.ask()
            world.feed(answer(b"x"))
            self.successResultOf(asked)
        self.assertEqual([line[:47] for line in self.logged][:1], ["DEBUG SSL connection to example.org using proto"])
        self.assertEqual(len(self.logged), 2)
        self.end(world)


class CutOffTests(CrawlCase):
    """Responses that end before their end."""

    def cut_off(self, world: CrawlWorld, **request: Any) -> Any:
        asked = world.ask(**request)
        world.feed(CUT_OFF)
        world.peer.close()
        world.pump()
        return asked

    def test_fails(self) -> None:
        """They fail, and what to do about it is logged once."""
        world = CrawlWorld()
        for _ in range(2):
            self.failureResultOf(self.cut_off(world), ResponseDataLossError)
        self.assertEqual([line.partition(" in ")[0] for line in self.logged], ["WARNING Got data loss"])
        self.end(world)

    def test_wanted(self) -> None:
        """By setting or meta they are given as they are, flagged."""
        for fail, meta in ((False, {}), (True, {"download_fail_on_dataloss": False})):
            world = CrawlWorld(DOWNLOAD_FAIL_ON_DATALOSS=fail)
            response = self.successResultOf(self.cut_off(world, meta=meta))
            self.assertEqual((response.body, response.flags), (b"partial", ["dataloss"]))
            self.assertEqual(self.logged, [])
            self.end(world)

    def test_http2(self) -> None:
        """Over HTTP/2, where a response that is too short is malformed, it is the same; the connection lives on."""
        world = CrawlWorld(Http2Peer, tls=True, alpn=b"h2")
        for meta in ({"download_fail_on_dataloss": False}, {}):
            asked = world.ask(meta=meta)
            request = world.peer.requests[-1]
            world.peer.send_headers(request, ((":status", "200"), ("content-length", "20")))
            world.peer.send_data(request, b"partial")
            world.pump()
            world.peer.send_data(request, b"", fin=True)
            world.pump()
            if meta:
                response = self.successResultOf(asked)
                self.assertEqual((response.body, response.flags), (b"partial", ["dataloss"]))
            else:
                self.failureResultOf(asked, ResponseDataLossError)
        self.assertEqual(len(world.peers), 1)
        self.end(world)

    def test_before_the_response(self) -> None:
        """Where nothing came at all that is no loss of data, but a failure."""
        world = CrawlWorld()
        asked = world.ask(method="POST")
        world.peer.close()
        world.pump()
        self.failureResultOf(asked, DownloadFailedError)
        self.end(world)


class SizeTests(CrawlCase):
    """DOWNLOAD_MAXSIZE and DOWNLOAD_WARNSIZE, and what says otherwise."""

    def feed(self, data: bytes, meta: dict[str, Any], **settings: Any) -> Any:
        """What becomes of a response that comes as `data`."""
        world = CrawlWorld(**settings)
        asked = world.ask(meta=meta)
        world.feed(data)
        asked.addErrback(lambda failure: failure.value)
        result = self.successResultOf(asked)
        self.end(world)
        return result

    def test_bounds(self) -> None:
        """As many bytes as the limit come; one more do not, whether they were announced or not; 0 is no limit."""
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        for data, said in ((answer(b"abcde"), "Expected to receive"), (chunked, "Received")):
            for limit in (5, 6, 0):
                self.assertEqual(self.feed(data, {"download_maxsize": limit}).body, b"abcde")
                self.assertEqual(self.feed(data, {}, DOWNLOAD_MAXSIZE=limit).body, b"abcde")
            for meta, settings in (({"download_maxsize": 4}, {}), ({}, {"DOWNLOAD_MAXSIZE": 4})):
                error = self.feed(data, meta, **settings)
                self.assertIsInstance(error, DownloadCancelledError)
                self.assertIn(f"{said} 5 bytes which is larger than download max size (4)", str(error))

    def test_warned(self) -> None:
        """Above the size to warn of all comes, with one warning."""
        for data in (answer(b"abcde"), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n"):
            self.logged.clear()
            self.assertTrue(self.feed(data, {"download_warnsize": 4}).body.startswith(b"abcde"))
            (line,) = self.logged
            self.assertIn("bytes which is larger than download warn size (4) in request <GET http://example.org/>", line)
        self.logged.clear()
        self.feed(answer(b"abcde"), {}, DOWNLOAD_WARNSIZE=5)
        self.assertEqual(self.logged, [])

    def test_spider(self) -> None:
        """Attributes of the spider are obeyed, with a warning that Scrapy deprecates them."""
        world = CrawlWorld()
        world.crawler.spider.download_maxsize = 4
        asked = world.ask()
        world.feed(answer(b"abcde"))
        self.failureResultOf(asked, DownloadCancelledError)
        (warning,) = self.flushWarnings()
        self.assertIs(warning["category"], ScrapyDeprecationWarning)
        self.end(world)


class SignalTests(CrawlCase):
    """`headers_received` and `bytes_received`, and those who stop the download there."""

    def heard(self, signal: Any, fail: bool | None) -> tuple[Any, list[dict[str, Any]]]:
        """What comes of a response where who hears `signal` stops it; with None nobody does. And what was heard."""
        world, heard = CrawlWorld(), []

        def hear(**arguments: Any) -> None:
            heard.append(arguments)
            if fail is not None:
                raise StopDownload(fail=fail)

        world.crawler.signals.connect(hear, signal)
        asked = world.ask()
        world.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        if fail is None:
            world.feed(b"def")
        asked.addErrback(lambda failure: failure.value)
        result = self.successResultOf(asked)
        self.end(world)
        return result, heard

    def test_heard(self) -> None:
        """They are sent as Scrapy says, the latter for each piece."""
        response, (headers,) = self.heard(signals.headers_received, None)
        self.assertEqual((headers["headers"], headers["body_length"]), (response.headers, 6))
        response, pieces = self.heard(signals.bytes_received, None)
        self.assertEqual([piece["data"] for piece in pieces], [b"abc", b"def"])
        self.assertEqual({piece["spider"].name for piece in pieces}, {"tests"})

    def test_stopped(self) -> None:
        """The response is what there is, flagged; where it is to fail the exception holds it."""
        for signal, body in ((signals.headers_received, b""), (signals.bytes_received, b"abc")):
            response, _ = self.heard(signal, False)
            self.assertEqual((response.body, response.flags), (body, ["download_stopped"]))
            error, _ = self.heard(signal, True)
            self.assertIsInstance(error, StopDownload)
            self.assertEqual((error.response.body, error.response.flags), (body, ["download_stopped"]))


class TimeTests(CrawlCase):
    """Downloads that take too long, or are not wanted any more."""

    def test_too_long(self) -> None:
        """After its time a download fails, wherever it is: no connection, no response, no end. The next one is not the worse for it."""
        for data in (None, b"", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc"):
            world = CrawlWorld()
            if data is None:
                world.endpoint("example.org", 80).hang()
            asked = world.ask(meta={"download_timeout": 3.0})
            if data:
                world.feed(data)
            world.advance(2.9)
            self.assertNoResult(asked)
            world.advance(0.2)
            error = self.failureResultOf(asked, DownloadTimeoutError).value
            self.assertEqual(str(error), "Getting http://example.org/ took longer than 3.0 seconds.")
            world.endpoint("example.org", 80).accept()
            world.advance(30.0)  # as long as the attempt to connect may take
            again = world.ask()
            world.feed(answer(b"x"))
            self.assertEqual(self.successResultOf(again).body, b"x")
            self.end(world)

    def test_cancelled(self) -> None:
        """A download that is cancelled ends at once; what its connection would bring is not waited for long."""
        world = CrawlWorld()
        asked = world.ask()
        asked.cancel()
        world.pump()
        self.failureResultOf(asked, DownloadCancelledError)
        world.advance(5.1)
        self.assertEqual(world.alive, [])
        self.end(world)

    def test_end(self) -> None:
        """The end of the crawl ends what is under way."""
        world = CrawlWorld()
        asked = world.ask()
        self.end(world)
        self.failureResultOf(asked, DownloadFailedError)


class FailureTests(CrawlCase):
    """What Scrapy is told."""

    def test_refused(self) -> None:
        """A refused connection is called that, at once; and when the server is back it is found."""
        world = CrawlWorld()
        world.endpoint("example.org", 80).refuse()
        self.failureResultOf(world.ask(), DownloadConnectionRefusedError)
        world.endpoint("example.org", 80).accept()
        asked = world.ask()
        world.feed(answer(b"x"))
        self.assertEqual(self.successResultOf(asked).body, b"x")
        self.end(world)

    def test_malformed(self) -> None:
        """What is no HTTP is a failed download."""
        world = CrawlWorld()
        asked = world.ask()
        world.feed(b"hello\r\n\r\n")
        self.failureResultOf(asked, DownloadFailedError)
        self.end(world)

    def test_schemes(self) -> None:
        """Other schemes are refused, and nothing is dialled."""
        world = CrawlWorld()
        for url in ("ftp://example.org/", "unsupp://example.org"):
            self.assertRaises(UnsupportedURLSchemeError, world.ask, url)
        self.assertEqual(world.attempts, 0)
        self.end(world)

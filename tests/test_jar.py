"""`twisted_gun.jar`: cookies that go with requests and come with responses, over HTTP/1.1, HTTP/2, websockets and tunnels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

import twisted_gun as gun
from tests.stage import EMPTY, LifeCase, answer
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver, WebsocketPeer


@implementer(gun.ICookieStore)
class Notes:
    """A store that keeps what it was asked and told, and gives what it is said to give."""

    def __init__(self, *give: gun.Cookie) -> None:
        self.give = give
        self.asked: list[gun.CookieUri] = []
        self.told: list[tuple[gun.CookieUri, bytes]] = []

    def query(self, uri: gun.CookieUri) -> Sequence[gun.Cookie]:
        """What it was said to give."""
        self.asked.append(uri)
        return self.give

    def set_cookie(self, uri: gun.CookieUri, value: bytes) -> bool:
        """Kept as it is."""
        self.told.append((uri, value))
        return True

    def gc(self) -> None:
        """Nothing expires."""

    def session_gc(self) -> None:
        """There is one session."""


class Broken(Notes):
    """Raises whatever it is asked."""

    def query(self, uri: gun.CookieUri) -> Sequence[gun.Cookie]:
        """Never."""
        raise ValueError("no")

    def set_cookie(self, uri: gun.CookieUri, value: bytes) -> bool:
        """Never."""
        raise ValueError("no")


def cookie(name: bytes, value: bytes) -> gun.Cookie:
    """A cookie of example.org."""
    return gun.Cookie(name=name, value=value, domain="example.org", creation_time=0.0, last_access_time=0.0)


class JarCase(LifeCase):
    """One connection over HTTP/1.1, with a store."""

    def world(self, store: Any, **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        world = MemoryGun(cookie_store=store, **options)
        world.pump()
        return world

    def field(self, world: MemoryGun, at: int = -1) -> list[bytes]:
        """The Cookie fields of a request."""
        return [value for name, value in world.peer.requests[at].headers if name == b"cookie"]


class SentTests(JarCase):
    """What goes with a request."""

    def test_whose(self) -> None:
        """The store is asked for the origin's scheme, the host of the Host field, and the path without its query."""
        store = Notes()
        world = self.world(store)
        connection = world.connection
        connection.get("/a/b?c=/d")
        connection.get("/", {"host": "Other.example:8080"})
        connection.options("*")
        connection.get("http://third.example/x?y")
        connection.get("/", {"host": "[2001:db8::1]:80"})
        expected = [("example.org", "/a/b"), ("other.example", "/"), ("example.org", "/"), ("third.example", "/x"), ("2001:db8::1", "/")]
        self.assertEqual(store.asked, [gun.CookieUri("http", host, path) for host, path in expected])

    def test_one_field(self) -> None:
        """Cookies go in one field, behind those that the caller gave."""
        world = self.world(Notes(cookie(b"a", b"1"), cookie(b"", b"2")))
        world.connection.get("/")
        world.connection.get("/", [("cookie", "x=y"), ("accept", "*/*"), ("cookie", "z")])
        world.pump()
        self.assertEqual([self.field(world, at) for at in (0, 1)], [[b"a=1; 2"], [b"x=y; z; a=1; 2"]])

    def test_secure_over_plain(self) -> None:
        """A target that says https makes nothing secure that is sent in plain: Secure cookies stay here, and none is set by the answer."""
        store = gun.CookieStore()
        store.set_cookie(gun.CookieUri("https", "bank.example", "/"), b"sid=secret; Secure")
        world = self.world(store)
        world.connection.get("https://bank.example/x")
        world.pump()
        self.assertEqual(self.field(world), [])
        world.peer.send(answer(b"", 200, b"set-cookie: other=1; Secure", b"set-cookie: __Secure-a=1; Secure"))
        world.pump()
        self.assertEqual([cookie.name for cookie in store], [b"sid"])

    def test_no_host(self) -> None:
        """A target whose host is none goes without cookies, and so do others, which are sent."""
        store = Notes(cookie(b"a", b"1"))
        world = MemoryGun(cookie_store=store)
        for target in ("http://[x/", "http://[zz]/a", "http://a]b/", "/good"):
            world.connection.get(target)
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"http://[x/", b"http://[zz]/a", b"http://a]b/", b"/good"])
        self.assertEqual([self.field(world, at) for at in range(4)], [[], [], [], [b"a=1"]])

    def test_same_name(self) -> None:
        """A cookie that the caller gave goes in the place of the store's of that name."""
        world = self.world(Notes(cookie(b"a", b"1"), cookie(b"b", b"2")))
        world.connection.get("/", {"cookie": "a=mine"})
        world.connection.get("/", {"cookie": "a=mine; b=mine"})
        world.pump()
        self.assertEqual([self.field(world, at) for at in (0, 1)], [[b"a=mine; b=2"], [b"a=mine; b=mine"]])

    def test_none(self) -> None:
        """Without cookies the caller's fields stay as they are."""
        world = self.world(Notes())
        world.connection.get("/", {"cookie": "x=y"})
        world.connection.get("/")
        world.pump()
        self.assertEqual([self.field(world, at) for at in (0, 1)], [[b"x=y"], []])

    def test_when_sent(self) -> None:
        """The store is asked when a request is sent, not when it is made: what has come meanwhile goes along."""
        store = gun.CookieStore()
        world = MemoryGun(cookie_store=store)
        world.connection.get("/")
        store.set_cookie(gun.CookieUri("http", "example.org", "/"), b"a=1")
        world.pump()
        self.assertEqual(self.field(world), [b"a=1"])

    def test_raises(self) -> None:
        """A store that raises is logged; the request goes without cookies, and the response is told."""
        world = self.world(Broken())
        stream = world.connection.get("/")
        world.pump()
        world.peer.send(answer(b"", 200, b"set-cookie: a=1"))
        world.pump()
        self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)


class ComeTests(JarCase):
    """What comes with a response."""

    uri = gun.CookieUri("http", "example.org", "/a")

    def told(self, *responses: bytes, request: Any = None, **options: Any) -> list[bytes]:
        """What the store is told when the server answers so."""
        store = Notes()
        world = self.world(store, **options)
        world.connection.get("/a?b", request or {})
        world.pump()
        for response in responses:
            world.peer.send(response)
        world.pump()
        self.assertEqual({uri for uri, _ in store.told} - {self.uri}, set())
        return [value for _, value in store.told]

    def test_fields(self) -> None:
        """Each Set-Cookie field is told by itself, in order."""
        self.assertEqual(self.told(answer(b"", 404, b"set-cookie: a=1, b=2", b"x: y", b"Set-Cookie: c=3")), [b"a=1, b=2", b"c=3"])

    def test_interim(self) -> None:
        """Those of interim responses are taken, unless ``cookie_ignore_informational`` is set."""
        early = b"HTTP/1.1 103 Early Hints\r\nset-cookie: a=1\r\n\r\n"
        self.assertEqual(self.told(early, EMPTY), [b"a=1"])
        ignored = {"cookie_ignore_informational": True}
        self.assertEqual(self.told(early, answer(b"", 200, b"set-cookie: b=1"), http_opts=ignored), [b"b=1"])

    def test_upgrade(self) -> None:
        """So are those of a 101."""
        switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\nset-cookie: a=1\r\n\r\n"
        request = {"connection": "upgrade", "upgrade": "echo"}
        self.assertEqual(self.told(switch, request=request), [b"a=1"])
        self.assertEqual(self.told(switch, request=request, http_opts={"cookie_ignore_informational": True}), [])

    def test_before_anybody_hears(self) -> None:
        """What a receiver asks for, told of the response, goes with its cookies."""
        store = gun.CookieStore()
        world = self.world(store)

        def again(event: Any) -> None:
            if isinstance(event, gun.Response):
                world.connection.get("/b")

        world.connection.get("/a", reply_to=again)
        world.pump()
        world.peer.send(answer(b"", 200, b"set-cookie: a=1; path=/"))
        world.pump()
        self.assertEqual(self.field(world), [b"a=1"])

    def test_many(self) -> None:
        """Of one response no more are taken than the store says, or fifty."""
        store: Any = Notes()
        for most in (50, 3):
            if most == 3:
                store.max_per_response = 3
            for number in (most - 1, most, most + 1):
                store.told.clear()
                world = self.world(store)
                world.connection.get("/a")
                world.pump()
                world.peer.send(answer(b"", 200, *(b"set-cookie: a%d=1" % at for at in range(number))))
                world.pump()
                self.assertEqual(len(store.told), min(number, most))

    def test_shared(self) -> None:
        """What one connection is given goes with the requests of another that has the same store."""
        store = gun.CookieStore()
        first, second = self.world(store), self.world(store)
        first.connection.get("/")
        first.pump()
        first.peer.send(answer(b"", 200, b"set-cookie: a=1"))
        first.pump()
        second.connection.get("/")
        second.pump()
        self.assertEqual(self.field(second), [b"a=1"])
        self.assertIs(first.connection.info().cookie_store, store)


class Http2Tests(JarCase):
    """The same over HTTP/2."""

    def world(self, store: Any, **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        options.setdefault("http2_opts", {})
        return super().world(store, protocols=["http2"], **options)

    def test_both_ways(self) -> None:
        """Cookies come with a response, and go with the next request."""
        world = self.world(gun.CookieStore())
        world.connection.get("/")
        world.pump()
        peer: Http2Peer = world.peer
        peer.inform(1, 103, {"set-cookie": "a=1"})
        peer.respond(1, 200, {"set-cookie": "b=2"})
        world.pump()
        world.connection.get("/", {"cookie": "x=y"})
        world.pump()
        self.assertEqual(self.field(world), [b"x=y; a=1; b=2"])

    def test_ignored(self) -> None:
        """Those of interim responses are not taken with ``cookie_ignore_informational``."""
        store = Notes()
        world = self.world(store, http2_opts={"cookie_ignore_informational": True})
        world.connection.get("/")
        world.pump()
        world.peer.inform(1, 103, {"set-cookie": "a=1"})
        world.peer.respond(1, 200, {"set-cookie": "b=2"})
        world.pump()
        self.assertEqual([value for _, value in store.told], [b"b=2"])

    def test_pushed(self) -> None:
        """Those of a pushed response are its own origin's and path's."""
        store = Notes()
        world = self.world(store, http2_opts={"enable_push": True})
        world.connection.get("/", reply_to=RecordingReceiver())
        world.pump()
        pushed = world.peer.push(1, "/pushed/style.css")
        world.peer.respond(pushed, 200, {"set-cookie": "a=1"})
        world.pump()
        self.assertEqual(store.told, [(gun.CookieUri("http", "example.org", "/pushed/style.css"), b"a=1")])

    def test_pushed_nowhere(self) -> None:
        """A push for a host that is none has no cookies, and harms nobody."""
        store = Notes()
        world = self.world(store, http2_opts={"enable_push": True})
        stream = world.connection.get("/", {"host": "[zz]"}, reply_to=(told := RecordingReceiver()))
        world.pump()
        pushed = world.peer.push(1, "/pushed", authority="[zz]")
        world.peer.respond(pushed, 200, {"set-cookie": "a=1"})
        world.peer.respond(1, 200, {})
        world.pump()
        self.assertTrue(stream.ended)
        self.assertEqual([event.reason for event in told.of(gun.Error)], [])
        self.assertEqual([uri for uri, _ in store.told if uri is None], [])


class WebsocketTests(JarCase):
    """Upgrades to a websocket."""

    def test_both_ways(self) -> None:
        """Cookies go with the request for one, and come with its answer."""
        store = Notes(cookie(b"a", b"1"))
        world = self.world(store, peer=lambda: WebsocketPeer(headers={"set-cookie": "b=2"}))
        world.connection.ws_upgrade("/chat")
        world.pump()
        self.assertEqual(store.asked, [gun.CookieUri("http", "example.org", "/chat")])
        self.assertEqual([value for _, value in store.told], [b"b=2"])
        self.assertIn((b"cookie", b"a=1"), world.peer.handshake.headers)


class TunnelTests(JarCase):
    """Tunnels and proxies."""

    def test_connect(self) -> None:
        """A proxy that is asked for a tunnel is given no cookies, and its own are not taken; who is inside has its own."""
        store = Notes(cookie(b"a", b"1"))
        world = self.world(store, host="proxy.example")
        world.connection.connect({"host": "origin.example", "port": 80})
        world.pump()
        world.peer.send(b"HTTP/1.1 200 OK\r\nset-cookie: p=1\r\n\r\n")
        world.pump()
        self.assertEqual((store.asked, store.told), ([], []))
        world.connection.get("/inside")
        world.pump()
        self.assertEqual(store.asked, [gun.CookieUri("http", "origin.example", "/inside")])
        self.assertIn(b"\r\ncookie: a=1\r\n", world.peer.received)
        world.peer.send(answer(b"", 200, b"set-cookie: b=2"))
        world.pump()
        self.assertEqual(store.told, [(gun.CookieUri("http", "origin.example", "/inside"), b"b=2")])

    def test_refused(self) -> None:
        """Nor are those of a refusal."""
        store = Notes()
        world = self.world(store)
        world.connection.connect({"host": "origin.example", "port": 80})
        world.pump()
        world.peer.send(answer(b"", 407, b"set-cookie: p=1"))
        world.pump()
        self.assertEqual(store.told, [])

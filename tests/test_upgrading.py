"""`make_upgrade`: what a caller asks for when it asks for a websocket, checked and converted."""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.request import RequestOptions
from twisted_gun.upgrading import WsUpgrade, make_upgrade

USUAL = gun.WsOptions(protocols=("usual",), flow=7)


class UpgradeTests(SynchronousTestCase):
    """The request, the options and the receiver."""

    def make(
        self, path: Any = "/", headers: Any = (), ws_opts: Any = None, usual: gun.WsOptions = USUAL, reply_to: Any = None, **options: Any
    ) -> WsUpgrade:
        """The upgrade, on a connection whose streams are told to `reply_to`."""
        return make_upgrade(path, headers, ws_opts, options, usual, RequestOptions(reply_to, None), b"example.org")

    def test_request(self) -> None:
        """A GET without content, that asks for a websocket of the connection's authority, or of the host that is given."""
        request = self.make("/a?b").request
        self.assertEqual((request.method, request.target, request.authority), (b"GET", b"/a?b", b"example.org"))
        self.assertEqual((request.body, request.protocol, request.length), (b"", b"websocket", None))
        request = self.make("/", {"Host": "other.example"}).request
        self.assertEqual(request.authority, b"other.example")
        self.assertNotIn(b"host", dict(request.headers))

    def test_fields(self) -> None:
        """The handshake's fields come first, then the caller's, in order."""
        names = [name for name, _ in self.make(headers=[("X-B", "1"), (b"x-a", b"2"), ("x-b", "3")]).request.headers]
        self.assertEqual(names[-3:], [b"x-b", b"x-a", b"x-b"])
        self.assertEqual(set(names[:-3]), {b"sec-websocket-version", b"sec-websocket-key", b"sec-websocket-protocol"})

    def test_options(self) -> None:
        """Those at the upgrade take the place of the usual ones, as an object or as a dict."""
        self.assertIs(self.make().options, USUAL)
        given = gun.WsOptions(keepalive=3.0)
        self.assertEqual(self.make(ws_opts=given).options, given)
        options = self.make(ws_opts={"keepalive": 3.0}).options
        self.assertEqual((options.keepalive, options.protocols, options.flow), (3.0, (), None))
        self.assertEqual(self.make(ws_opts={}).options, gun.WsOptions())

    def test_flow(self) -> None:
        """The request's flow goes before that of the options; None there is no limit."""
        for given, expected in (({}, 7), ({"flow": 3}, 3), ({"flow": None}, None)):
            self.assertEqual(self.make(**given).options.flow, expected)
        self.assertEqual([self.make(**given).request.flow for given in ({}, {"flow": 3}, {"flow": None})], [None, 3, math.inf])

    def test_receivers(self) -> None:
        """The nearest receiver is told; None at the upgrade means the stream's own mailbox."""
        far, usual, near, nearest = (gun.Receiver() for _ in range(4))
        options = gun.WsOptions(reply_to=usual)
        self.assertIs(self.make(reply_to=far).reply_to, far)
        self.assertIs(self.make(reply_to=far, usual=options).reply_to, usual)
        self.assertIs(self.make(ws_opts={"reply_to": near}, usual=options).reply_to, near)
        self.assertIs(self.make(ws_opts=gun.WsOptions(reply_to=near)).reply_to, near)
        given = make_upgrade("/", (), {"reply_to": near}, {"reply_to": nearest}, options, RequestOptions(far, None), b"a")
        self.assertIs(given.reply_to, nearest)
        given = make_upgrade("/", (), {"reply_to": near}, {"reply_to": None}, options, RequestOptions(far, None), b"a")
        self.assertIsNone(given.reply_to)
        given = make_upgrade("/", (), None, {"reply_to": nearest}, options, RequestOptions(far, None), b"a")
        self.assertIs(given.reply_to, nearest)
        self.assertIsNone(self.make(ws_opts={"reply_to": None}, usual=options, reply_to=far).reply_to)

    def test_refused(self) -> None:
        """What is the handshake's own, and what would be content, is InvalidRequest; unknown options are OptionError."""
        for name in ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "content-length", "transfer-encoding"):
            self.assertRaises(gun.InvalidRequest, self.make, "/", {name: "1"})
        for path in ("", "no slash", "*", "/ ", "/\x00"):
            self.assertRaises(gun.InvalidRequest, self.make, path)
        self.assertRaises(gun.OptionError, self.make, ws_opts={"unknown": 1})
        self.assertRaises(gun.OptionError, self.make, ws_opts=gun.HttpOptions())
        self.assertRaises(gun.OptionError, self.make, unknown=1)

    def test_way(self) -> None:
        """Which tunnel it takes is decided before, and says nothing here: `tunnel` is known, among the options of either kind."""
        plain = self.make(reply_to=None)
        for given in ({"tunnel": None}, {"ws_opts": {"tunnel": object()}, "usual": USUAL}, {"tunnel": object()}):
            self.assertEqual(self.make(**given).request.target, plain.request.target)

    def test_errors_do_not_show_values(self) -> None:
        """A refused header is named, and its value, which may be a secret, is not shown."""
        with self.assertRaises(gun.InvalidRequest) as raised:
            self.make("/", {"sec-websocket-protocol": "my-secret-token"})
        self.assertNotIn("secret", str(raised.exception).replace("sec-websocket", ""))

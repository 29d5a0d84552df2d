"""Connections that come back, and the hook `on_up`, by which websockets come back with them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver


class Boom(Exception):
    """What a hook raises here."""


class AgainTests(WebsocketCase):
    """After the end of a websocket's connection."""

    cores = ("own",)

    def lose(self, world: MemoryGun) -> None:
        """The peer ends the connection."""
        world.peer.abort()
        world.pump()

    def test_not_by_itself(self) -> None:
        """The connection comes back as plain HTTP; the websocket is not asked for again by itself."""
        world, stream, told = self.told()
        self.lose(world)
        self.assertEqual(told.names()[2:], ["gun_error", "gun_down", "gun_up"])
        self.assertEqual(told.events[-1].protocol, self.http)
        self.assertEqual(world.peer.requests, [])
        self.assertEqual(world.connection.info().protocol, self.http)
        self.assertEqual(self.successResultOf(world.connection.await_up()), self.http)
        self.assertRaises(gun.BadState, stream.ws_send, "gone")
        self.end(world)

    def test_after_a_close(self) -> None:
        """Over HTTP/1.1 a closing handshake ends the connection, which is dialled again, unless there are no retries."""
        for retry in (5, 0):
            world, stream = self.upgraded(retry=retry)
            ended = world.connection.when_terminated()
            stream.ws_send(gun.Close(1000))
            world.pump()
            if self.http2:
                self.assertEqual(world.endpoint.attempts, 1)
                self.assertNoResult(ended)
            elif retry:
                self.assertEqual(world.endpoint.attempts, 2)
                self.assertNoResult(ended)
            else:
                self.assertEqual(world.endpoint.attempts, 1)
                self.assertIsNone(self.successResultOf(ended))
            self.end(world)

    def test_asked_between(self) -> None:
        """What is asked for while the connection is down goes out when it is up again."""
        world, _, told = self.told(retry_timeout=1.0)
        world.endpoint.refuse(times=1)
        self.lose(world)
        self.assertEqual(told.names()[-1], "gun_down")
        again = world.connection.ws_upgrade("/", reply_to=None).await_upgrade()
        world.advance(1)
        self.successResultOf(again)
        self.end(world)

    def test_asked_within_gun_down(self) -> None:
        """So does what is asked for from within `gun_down`."""
        told = RecordingReceiver()
        world, _, _ = self.told(told=told)
        streams: list[gun.Stream] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.Down):
                streams.append(world.connection.ws_upgrade("/again"))

        told.react = react
        self.lose(world)
        self.assertEqual(told.names()[-2:], ["gun_up", "gun_upgrade"])
        streams[0].ws_send("hello")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("hello")])
        self.end(world)

    def test_many_times(self) -> None:
        """A hundred times over each stream ends once, up and down alternate, and nothing is left."""
        told = RecordingReceiver()
        world = self.up(owner=told, reply_to=told, retry_timeout=1.0, on_up=lambda connection: connection.ws_upgrade("/"))
        for _ in range(100):
            world.peer.end.send("hello")
            self.lose(world)
            world.advance(1)
        self.assert_told_in_order(told)
        self.assertEqual(len(told.of(gun.Upgrade)), 101)
        self.assertEqual(len(told.of(gun.Error)), 100)
        self.end(world)


class HookTests(WebsocketCase):
    """`on_up`."""

    cores = ("own",)

    def test_each_time(self) -> None:
        """It is called with the connection each time that is up, after `gun_up`; what it asks for goes out first."""
        told = RecordingReceiver()
        called: list[Any] = []

        def hook(connection: gun.Connection) -> None:
            called.append((connection, told.names()[-1]))
            connection.ws_upgrade("/hook")

        world = self.world(owner=told, reply_to=told, on_up=hook)
        world.pump()
        self.assertEqual(called, [(world.connection, "gun_up")])
        self.assertEqual(told.names(), ["gun_up", "gun_upgrade"])
        world.peer.abort()
        world.pump()
        self.assertEqual(called, [(world.connection, "gun_up")] * 2)
        self.assertEqual([peer.end.handshake.path for peer in world.peers], [b"/hook"] * 2)
        self.end(world)

    def test_order(self) -> None:
        """What was asked for before goes before what the hook asks for."""
        world = self.world(on_up=lambda connection: connection.get("/hook"), end={"accept": False})
        world.connection.get("/before")
        world.pump()
        if self.http2:
            paths = [request.path for request in world.peer.requests]
        else:
            world.peer.end.respond()
            world.pump()
            paths = [request.target for request in world.peer.requests]
        self.assertEqual(paths, [b"/before", b"/hook"])
        self.end(world)

    def test_coroutine(self) -> None:
        """A coroutine function is run: a loop that reads as long as the websocket lasts, and begins anew with the next."""
        heard: list[Any] = []

        async def hook(connection: gun.Connection) -> None:
            stream = connection.ws_upgrade("/")
            await stream.await_upgrade()
            stream.ws_send("subscribe")
            async for event in stream:
                assert isinstance(event, gun.Ws)
                heard.append(event.frame)

        world = self.up(on_up=hook)
        for number in range(3):
            self.assertEqual(world.peer.end.frames, [gun.Text("subscribe")])
            world.peer.end.send(f"{number}")
            world.pump()
            world.peer.abort()
            world.pump()
            world.advance(5)
        self.assertEqual(heard, [gun.Text("0"), gun.Text("1"), gun.Text("2")])
        self.end(world)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_our_errors_are_quiet(self) -> None:
        """A hook that ends because the connection or its stream did is not logged as a failure: the owner is told of that."""

        async def coroutine(connection: gun.Connection) -> None:
            await connection.ws_upgrade("/").await_event()
            await connection.ws_upgrade("/").await_upgrade(timeout=1)

        def deferred(connection: gun.Connection) -> Deferred[Any]:
            return connection.ws_upgrade("/").await_event()

        for hook in (coroutine, deferred):
            world = self.up(on_up=hook, end={"accept": False}, retry=0)
            world.peer.abort()
            world.pump()
            self.end(world)
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_mistakes_and_refusals(self) -> None:
        """Mistakes in a hook, and refusals, of which nobody else is told, are logged as failures."""

        def header(connection: gun.Connection) -> None:
            connection.ws_upgrade("/", {"upgrade": "mine"})

        def option(connection: gun.Connection) -> None:
            connection.ws_upgrade("/", ws_opts={"compres": True})

        async def refused(connection: gun.Connection) -> None:
            await connection.ws_upgrade("/").await_upgrade()

        for hook, error in ((header, gun.InvalidRequest), (option, gun.OptionError), (refused, gun.UpgradeRefused)):
            world = self.up(on_up=hook, end={"refuse": 403}, retry=0)
            world.pump()
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)
            self.end(world)

    def test_raising(self) -> None:
        """One that raises something else is logged, each time, and harms nothing."""

        def plain(connection: gun.Connection) -> None:
            raise Boom

        async def coroutine(connection: gun.Connection) -> None:
            raise Boom

        async def later(connection: gun.Connection) -> None:
            await connection.ws_upgrade("/").await_upgrade()
            raise Boom

        for hook in (plain, coroutine, later):
            world = self.up(on_up=hook)
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
            world.peer.abort()
            world.pump()
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
            self.assertEqual(world.connection.info().state_name, "connected")
            self.end(world)

    def test_ending(self) -> None:
        """It may end the connection: then nothing more is sent."""
        for name in ("close", "shutdown"):
            world = self.world(on_up=lambda connection, name=name: getattr(connection, name)() and None)
            early = world.connection.ws_upgrade("/")
            world.pump()
            self.assertTrue(early.ended)
            self.assertEqual(world.peer.requests, [])
            self.assert_nothing_left(world)

    def test_no_retries(self) -> None:
        """It is not called where the connection does not come up."""
        called: list[Any] = []
        world = self.world(on_up=called.append, retry=1, retry_timeout=1.0)
        world.endpoint.refuse()
        world.advance(10)
        self.assertEqual(called, [])
        self.assert_nothing_left(world)

    def test_bad_hook(self) -> None:
        """What cannot be called is refused at open."""
        with self.assertRaises(gun.OptionError) as raised:
            self.world(on_up=7)
        self.assertEqual(raised.exception.option, "on_up")

    def test_echo(self) -> None:
        """Told by callbacks, it is the same: messages of each connection reach one receiver."""
        told = RecordingReceiver()
        world = self.up(reply_to=told, on_up=lambda connection: connection.ws_upgrade("/"), end={"echo": True})
        for number in range(3):
            told.of(gun.Upgrade)[-1].stream.ws_send(f"{number}")
            world.pump()
            world.peer.abort()
            world.pump()
        self.assertEqual(frames(told), [gun.Text("0"), gun.Text("1"), gun.Text("2")])
        self.end(world)


globals().update(variants(__name__))

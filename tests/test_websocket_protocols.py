"""Protocols of the application's own on a websocket: which one runs, what it is given, what it makes of frames, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver


class Recording(gun.WsProtocol):
    """Keeps what it is given, and tells nothing."""

    def __init__(self, stream: gun.Stream, headers: Any, options: gun.WsOptions) -> None:
        super().__init__(stream, headers, options)
        self.frames: list[Any] = []

    def handle(self, frame: Any) -> int | None:
        self.frames.append(frame)
        return None


class Other(Recording):
    """Another."""


class Boom(Exception):
    """What a protocol raises here."""


def keeping(made: list[Any], kind: Any) -> Callable[..., Any]:
    """What makes a `kind`, and keeps it in `made`."""

    def make(*arguments: Any) -> Any:
        made.append(kind(*arguments))
        return made[-1]

    return make


class ProtocolCase(WebsocketCase):
    """Websockets with protocols."""

    def run_protocol(
        self, make: Any, told: RecordingReceiver | None = None, end: Any = None, **ws_opts: Any
    ) -> tuple[MemoryGun, gun.Stream, RecordingReceiver]:
        """A world whose websocket runs what `make` makes."""
        return self.told(ws_opts={"default_protocol": make, **ws_opts}, told=told or RecordingReceiver(), end=end or {}, retry=0)


class ChosenTests(ProtocolCase):
    """Which protocol it is."""

    cores = ("own",)

    def made(self, subprotocol: str | None, **ws_opts: Any) -> Any:
        """The protocol that runs where the server chose `subprotocol`."""
        made: list[Any] = []

        if "protocols" in ws_opts:
            ws_opts["protocols"] = [(name, kind and keeping(made, kind)) for name, kind in ws_opts["protocols"]]
        if "default_protocol" in ws_opts:
            ws_opts["default_protocol"] = keeping(made, ws_opts["default_protocol"])
        world, stream, told = self.told(ws_opts=ws_opts, end={"subprotocol": subprotocol, "headers": {"x-a": "1"}}, retry=0)
        world.peer.end.send("hello")
        world.pump()
        if not made:
            self.assertEqual(frames(told), [gun.Text("hello")])
            self.end(world)
            return None
        (protocol,) = made
        self.assertIs(protocol.stream, stream)
        self.assertIn((b"x-a", b"1"), protocol.headers)
        self.assertIsInstance(protocol.options, gun.WsOptions)
        self.assertEqual(protocol.options.user_opts, ws_opts.get("user_opts"))
        self.assertEqual(protocol.frames, [gun.Text("hello")])
        self.assertEqual(frames(told), [])
        self.end(world)
        return type(protocol)

    def test_by_subprotocol(self) -> None:
        """The one that belongs to the subprotocol the server chose; it is given the stream, the fields and the options."""
        both = [("a", Recording), ("b", Other)]
        self.assertIs(self.made("a", protocols=both, user_opts={"my": "own"}), Recording)
        self.assertIs(self.made("b", protocols=both), Other)

    def test_default(self) -> None:
        """default_protocol where the server chose none, or the chosen one names none; else frames are told as they are."""
        both = [("a", Recording), ("b", None)]
        self.assertIs(self.made(None, protocols=both, default_protocol=Other), Other)
        self.assertIs(self.made("b", protocols=both, default_protocol=Other), Other)
        self.assertIs(self.made("a", protocols=both, default_protocol=Other), Recording)
        self.assertIs(self.made(None, default_protocol=Other), Other)
        self.assertIsNone(self.made("b", protocols=both))
        self.assertIsNone(self.made(None, protocols=both))

    def test_any_callable(self) -> None:
        """It may be any callable that gives an object with `handle`."""

        class Bare:
            def __init__(self, stream: Any, headers: Any, options: Any) -> None:
                self.told: list[Any] = []
                bare.append(self)

            def handle(self, frame: Any) -> None:
                self.told.append(frame)

        bare: list[Bare] = []
        world, _, told = self.run_protocol(Bare)
        world.peer.end.send("hello")
        world.pump()
        self.assertEqual((bare[0].told, frames(told)), ([gun.Text("hello")], []))
        self.end(world)

    def test_ended_in_making(self) -> None:
        """Where its making ends the stream, or the connection, no upgrade is told."""

        def cancel(stream: gun.Stream, *_: Any) -> Any:
            stream.cancel()
            return Recording(stream, (), gun.WsOptions())

        def close(stream: gun.Stream, *_: Any) -> Any:
            stream.connection.close()
            return Recording(stream, (), gun.WsOptions())

        def shutdown(stream: gun.Stream, *arguments: Any) -> Any:
            stream.connection.shutdown()
            return Recording(stream, *arguments)

        ways: tuple[tuple[Any, list[str]], ...] = ((cancel, []), (close, ["gun_error"]), (shutdown, ["gun_upgrade", "gun_ws"]))
        for make, expected in ways:
            told = RecordingReceiver()
            world = self.up(reply_to=told, ws_opts={"default_protocol": make}, retry=0)
            world.connection.ws_upgrade("/")
            world.pump()
            self.assertEqual(told.names(), expected)
            self.end(world)

    def test_one_for_each(self) -> None:
        """Each websocket has one of its own."""
        made: list[Any] = []
        world = self.up(ws_opts={"default_protocol": keeping(made, Recording)})
        for number in range(2):
            stream = world.connection.ws_upgrade("/")
            world.pump()
            self.assertIs(made[number].stream, stream)
            stream.ws_send(gun.Close(1000))
            world.pump()
        self.assertIsNot(made[0], made[1])
        self.end(world)


class HandledTests(ProtocolCase):
    """What it makes of frames."""

    def test_base(self) -> None:
        """The base tells each frame, without pings and pongs unless they are asked for."""
        for silence in (True, False):
            world, _, told = self.run_protocol(gun.WsProtocol, silence_pings=silence)
            for frame in ("a", gun.Ping(b"p"), gun.Pong(b"q"), b"b"):
                world.peer.end.send(frame)
            world.pump()
            control = [] if silence else [gun.Ping(b"p"), gun.Pong(b"q")]
            self.assertEqual(frames(told), [gun.Text("a"), *control, gun.Binary(b"b")])
            self.assertEqual(world.peer.end.frames, [gun.Pong(b"p")])
            self.end(world)

    def test_pings_reach_it(self) -> None:
        """Pings and pongs reach a protocol, silent or not, whole messages as well."""
        made: list[Recording] = []
        world, _, _ = self.run_protocol(keeping(made, Recording))
        world.peer.end.send("in pieces", piece=2)
        world.peer.end.send(gun.Ping(b"p"))
        world.peer.end.send(gun.Pong(b"q"))
        world.pump()
        self.assertEqual(made[0].frames, [gun.Text("in pieces"), gun.Ping(b"p"), gun.Pong(b"q")])
        self.end(world)

    def test_telling(self) -> None:
        """It tells what it likes: something else, more, or nothing."""

        class Shouting(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                if isinstance(frame, gun.Text):
                    for word in frame.text.split():
                        self.tell(gun.Text(word.upper()))
                return None

        world, _, told = self.run_protocol(Shouting)
        world.peer.end.send("one two")
        world.peer.end.send(b"ignored")
        world.peer.end.send("three")
        world.pump()
        self.assertEqual(frames(told), [gun.Text("ONE"), gun.Text("TWO"), gun.Text("THREE")])
        self.end(world)

    def test_awaiting(self) -> None:
        """What it tells can be awaited."""
        world = self.up(ws_opts={"default_protocol": gun.WsProtocol})
        stream = world.connection.ws_upgrade("/")
        event = stream.await_upgrade().addCallback(lambda _: stream.await_event())
        world.pump()
        world.peer.end.send("hello")
        world.pump()
        self.assertEqual(self.successResultOf(event).frame, gun.Text("hello"))
        self.end(world)

    def test_answering(self) -> None:
        """It may send, from within `handle`, and from within its making."""

        class Answering(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                if isinstance(frame, gun.Text):
                    self.stream.ws_send(f"re: {frame.text}")
                return None

        world, _, told = self.run_protocol(Answering)
        world.peer.end.send("one")
        world.peer.end.send("two")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("re: one"), gun.Text("re: two")])
        self.assertEqual(frames(told), [])
        self.end(world)

    def test_close(self) -> None:
        """A Close reaches it, and is told as the end in any case, once."""
        for kind in (Recording, gun.WsProtocol):
            made: list[Any] = []
            world, stream, told = self.run_protocol(keeping(made, kind))
            world.peer.end.close(1001, "bye")
            world.pump()
            self.assertEqual(self.told_once(told, stream).frame, gun.Close(1001, "bye"))
            if kind is Recording:
                self.assertEqual(made[0].frames, [gun.Close(1001, "bye")])
            self.end(world)

    def test_told_close(self) -> None:
        """A Close that it tells ends the stream, and what comes after reaches it no more."""

        class Ending(Recording):
            def handle(self, frame: Any) -> int | None:
                super().handle(frame)
                self.tell(gun.Close(4000, "enough"))
                return None

        made: list[Any] = []
        world, stream, told = self.run_protocol(keeping(made, Ending))
        world.peer.end.send("one")
        world.peer.end.send("two")
        world.peer.end.close(1000)
        world.pump()
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(4000, "enough"))
        self.assertEqual(made[0].frames, [gun.Text("one")])
        self.end(world)

    def test_lost(self) -> None:
        """A loss is told as an `Error`, past the protocol."""
        made: list[Any] = []
        world, stream, told = self.run_protocol(keeping(made, Recording))
        world.peer.end.drop()
        world.pump()
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
        self.assertEqual(made[0].frames, [])
        self.end(world)

    def test_cancelling(self) -> None:
        """It may cancel its stream: nothing more reaches it."""

        class Cancelling(Recording):
            def handle(self, frame: Any) -> int | None:
                self.stream.cancel()
                return super().handle(frame)

        made: list[Any] = []
        world, _, told = self.run_protocol(keeping(made, Cancelling))
        end = world.peer.end
        end.send("one")
        end.send("two")
        world.pump()
        self.assertEqual((made[0].frames, frames(told)), ([gun.Text("one")], []))
        self.assertIsNotNone(end.lost)
        self.end(world)


class CostTests(ProtocolCase):
    """What a frame costs of the stream's flow."""

    def cost(self, cost: int | None, flow: int, count: int = 20) -> int:
        """How many frames reach a protocol that says each costs so much."""
        given: list[Any] = []

        class Costing(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                given.append(frame)
                return cost

        world, stream, _ = self.run_protocol(Costing, flow=flow)
        for number in range(count):
            world.peer.end.send(f"{number}")
            world.pump()
        found = len(given)
        stream.update_flow(1000)
        world.pump()
        self.assertEqual(given, [gun.Text(f"{number}") for number in range(count)])
        self.end(world)
        return found

    def test_cost(self) -> None:
        """None is 1; 0 is nothing; more is more: reading stops when nothing is left, where frames come one by one."""
        for cost, flow, expected in ((None, 4, 4), (1, 4, 4), (0, 1, 20), (2, 4, 2), (3, 4, 2), (4, 4, 1), (100, 4, 1)):
            self.assertEqual(self.cost(cost, flow), expected, (cost, flow))

    def test_silent_pings(self) -> None:
        """The base lets pings that it does not tell cost nothing."""
        world, _, told = self.run_protocol(gun.WsProtocol, flow=2)
        for frame in (gun.Ping(), gun.Pong(), gun.Ping(), "one", gun.Ping(), "two", "three"):
            world.peer.end.send(frame)
        world.pump()
        self.assertEqual(frames(told), [gun.Text("one"), gun.Text("two")])
        self.end(world)


class RaisingTests(ProtocolCase):
    """Protocols that raise."""

    def check_raised(self, told: RecordingReceiver, stream: gun.Stream) -> None:
        """It was logged, once, and the stream has failed."""
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)

    def test_in_handle(self) -> None:
        """One that raises in `handle` is logged; its stream ends, and over HTTP/2 no other."""

        class Raising(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                raise Boom

        world, stream, told = self.run_protocol(Raising)
        end = world.peer.end
        other = world.connection.ws_upgrade("/other", ws_opts={"core": self.core}) if self.http2 else None
        world.pump()
        end.send("one")
        end.send("two")
        world.pump()
        self.check_raised(told, stream)
        self.assertIsNotNone(end.lost)
        if other is not None:
            world.peer.end.send("alive")
            world.pump()
            self.assertEqual(frames(told, other), [gun.Text("alive")])
        self.end(world)

    def test_in_making(self) -> None:
        """So it is where it raises when it is made: nothing is told but the error."""

        def make(*arguments: Any) -> Any:
            raise Boom

        told = RecordingReceiver()
        world = self.up(owner=told, reply_to=told, ws_opts={"default_protocol": make}, retry=0)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        self.check_raised(told, stream)
        self.assertEqual(told.of(gun.Upgrade), [])
        self.assertRaises(gun.BadState, stream.ws_send, "none")
        self.end(world)

    def test_with_the_close(self) -> None:
        """One that raises at the Close ends by that."""

        class Raising(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                raise Boom

        world, stream, told = self.run_protocol(Raising)
        world.peer.end.close(1000)
        world.pump()
        self.check_raised(told, stream)
        self.end(world)

    def test_no_handle(self) -> None:
        """One that has no `handle` is treated as one that raises."""
        world, stream, told = self.run_protocol(lambda *arguments: object())
        world.peer.end.send("one")
        world.pump()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
        self.end(world)

    def test_no_cost(self) -> None:
        """So is one whose `handle` gives what is no cost: a coroutine, which nobody would await, a float, True."""

        class Asynchronous(gun.WsProtocol):
            async def handle(self, frame: Any) -> int | None:  # type: ignore[override]
                return 1

        class Wrong(gun.WsProtocol):
            def handle(self, frame: Any) -> int | None:
                return self.options.user_opts  # type: ignore[no-any-return]

        for kind, given in ((Asynchronous, None), (Wrong, 1.5), (Wrong, True), (Wrong, "1")):
            world, stream, told = self.run_protocol(kind, user_opts=given)
            world.peer.end.send("one")
            world.peer.end.send("two")
            world.pump()
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
            self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
            self.end(world)


globals().update(variants(__name__))

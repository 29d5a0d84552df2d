"""Who is told things: receivers, plain callables, and what happens when one of them raises."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

import twisted_gun as gun
from tests.stage import CHUNKED, OK, SWITCH, UPGRADE, LifeCase, answer, answering, ends, feed, up
from twisted_gun.receivers import as_receiver, run_hook
from twisted_gun.testing import MemoryGun, RecordingReceiver

INFORM = b"HTTP/1.1 103 Early Hints\r\n\r\n"


class InterfaceTests(SynchronousTestCase):
    """IReceiver and Receiver."""

    def test_receiver(self) -> None:
        """Receiver provides IReceiver in full, and does nothing."""
        verifyObject(gun.IReceiver, gun.Receiver())
        verifyClass(gun.IReceiver, gun.Receiver)
        for name in gun.IReceiver.names():
            self.assertIsNone(getattr(gun.Receiver(), name)(None))

    def test_adapted_callable(self) -> None:
        """A callable that was adapted has every method of IReceiver, and each calls it with the event."""
        told: list[object] = []
        receiver = as_receiver("owner", told.append)
        for name in gun.IReceiver.names():
            getattr(receiver, name)(name)
        self.assertEqual(told, list(gun.IReceiver.names()))

    def test_each_event_has_its_method(self) -> None:
        """Every event names a method of IReceiver, and every method has its event."""
        of_connections = (gun.Up, gun.Down, gun.Notify)
        of_responses = (gun.Inform, gun.Response, gun.Data, gun.Sse, gun.Trailers, gun.Push, gun.Error)
        events = (*of_connections, *of_responses, gun.Upgrade, gun.TunnelUp, gun.Ws)
        self.assertEqual({event.told_as for event in events}, set(gun.IReceiver.names()))

    def test_what_is_none(self) -> None:
        """What is neither raises OptionError, which names the option; a callable receiver is a receiver."""

        async def coroutine(event: object) -> None:
            """Nobody would await it."""

        for wrong in (7, "me", object(), [], gun.Receiver, list, coroutine):
            self.assertRaises(gun.OptionError, as_receiver, "reply_to", wrong)

        class Both(gun.Receiver):
            def __call__(self, event: object) -> None:
                raise AssertionError("it was called instead of its method")

        both = Both()
        self.assertIs(as_receiver("owner", both), both)
        self.assertIsNone(as_receiver("owner", None))

    def test_duck(self) -> None:
        """An object with all the methods is a receiver, whether it declares the interface or not."""
        duck = type("Duck", (), {name: lambda self, event: None for name in gun.IReceiver.names()})()
        self.assertIs(as_receiver("owner", duck), duck)


class ToldTests(LifeCase):
    """Who is told what."""

    def test_no_op_receiver(self) -> None:
        """A bare Receiver as owner and reply_to lives through a whole life."""
        world = up(owner=gun.Receiver(), reply_to=gun.Receiver(), script=answering(INFORM + CHUNKED))
        for _ in range(3):
            world.connection.get("/")
        world.pump()
        world.peer.abort()
        world.pump()
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_every_event(self) -> None:
        """A receiver is told interim and final response, content, trailers, upgrade and error, each with its stream."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        first, second = world.connection.get("/1"), world.connection.get("/2", UPGRADE)
        world.pump()
        feed(world, INFORM + CHUNKED + SWITCH + b"raw")
        world.peer.abort()
        world.pump()
        names = "gun_up gun_inform gun_response gun_data gun_trailers gun_upgrade gun_data gun_error gun_down gun_up".split()
        self.assertEqual(told.names(), names)
        streams = [event.stream for event in told.events if hasattr(event, "stream")]
        self.assertEqual(streams, [first] * 4 + [second] * 3)

    def test_reply_to_of_a_request(self) -> None:
        """A request's reply_to goes before the connection's; None means the mailbox."""
        default, own = RecordingReceiver(), RecordingReceiver()
        world = up(reply_to=default)
        world.connection.get("/1")
        world.connection.get("/2", reply_to=own)
        awaited = world.connection.get("/3", reply_to=None).await_body()
        world.pump()
        feed(world, OK * 3)
        self.assertEqual((default.names(), own.names()), (["gun_response", "gun_data"],) * 2)
        self.assertEqual(self.successResultOf(awaited), b"ok")

    def test_callables(self) -> None:
        """Plain callables are called with each event: as owner, as reply_to, bound or not."""
        connection_events: list[Any] = []
        stream_events: list[Any] = []
        world = up(owner=connection_events.append, reply_to=stream_events.append)
        world.connection.get("/")
        world.pump()
        feed(world, OK)
        self.assertEqual([event.told_as for event in connection_events], ["gun_up"])
        self.assertEqual([event.told_as for event in stream_events], ["gun_response", "gun_data"])

    def test_awaiting_is_refused(self) -> None:
        """A stream whose events go to a reply_to refuses to be awaited, in every way, at the call."""
        stream = up(reply_to=RecordingReceiver()).connection.get("/")
        for name in ("await_event", "await_response", "await_body", "await_upgrade", "chunks"):
            self.assertRaises(gun.BadState, getattr(stream, name))

        async def iterate() -> None:
            async for _ in stream:
                raise AssertionError("an event of another's")

        self.failureResultOf(Deferred.fromCoroutine(iterate()), gun.BadState)

    def test_info_shows_it(self) -> None:
        """stream.info() says who is told."""
        told = RecordingReceiver()
        info: Any = up().connection.get("/", reply_to=told).info()
        self.assertIs(info.reply_to, told)


class RaisingTests(LifeCase):
    """A receiver that raises is logged and harms nobody else."""

    def test_each_callback_of_a_stream(self) -> None:
        """Wherever a stream's receiver raises: logged once, its stream fails, neighbours and connection live on."""
        responses = {"gun_inform": INFORM + OK, "gun_response": OK, "gun_data": CHUNKED, "gun_trailers": CHUNKED}
        for name, response in responses.items():
            raising = _Raising(name)
            world = up()
            world.connection.get("/raises", reply_to=raising)
            neighbour = world.connection.get("/neighbour").await_body()
            world.pump()
            feed(world, response + answer(b"neighbour"))
            self.assertEqual(self.successResultOf(neighbour), b"neighbour", name)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, name)
            self.assertEqual(len(world.peers), 1, name)
            self.assertEqual(set(ends(raising).values()), {1}, name)
            self.assert_told_in_order(raising)

    def test_large_response(self) -> None:
        """Also where the rest of the response is large: the connection is not closed on the neighbours' backs."""
        raising = _Raising("gun_response")
        world = up()
        world.connection.get("/raises", reply_to=raising)
        neighbour = world.connection.get("/neighbour").await_body()
        world.pump()
        feed(world, answer(b"x" * 1_000_000) + answer(b"neighbour"))
        self.assertEqual(self.successResultOf(neighbour), b"neighbour")
        self.assertEqual(raising.names(), ["gun_response", "gun_error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_error_of_the_stream(self) -> None:
        """One that raises in gun_error is logged, and told nothing more."""
        raising = _Raising("gun_error")
        world = up(reply_to=raising)
        world.connection.get("/")
        world.pump()
        world.peer.abort()
        world.pump()
        self.assertEqual(raising.names(), ["gun_error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])

    def test_one_that_always_raises(self) -> None:
        """One that raises whatever it is told is told of the failure too, and then no more."""
        raising = RecordingReceiver(lambda event: 1 / 0)
        world = up(reply_to=raising)
        world.connection.get("/")
        world.pump()
        feed(world, OK)
        self.assertEqual(raising.names(), ["gun_response", "gun_error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_owner(self) -> None:
        """An owner that raises is logged; what waits is sent all the same, and it dials again all the same."""
        world = MemoryGun(owner=RecordingReceiver(lambda event: 1 / 0))
        body = world.connection.get("/").await_body()
        world.pump()
        feed(world, LAST_OK)
        self.assertEqual(self.successResultOf(body), b"ok")
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_owner_at_the_end(self) -> None:
        """One that raises at the end does not keep the monitor from firing."""
        world = MemoryGun(retry=0, owner=RecordingReceiver(lambda event: 1 / 0))
        world.endpoint.refuse()
        ended = world.connection.when_terminated()
        world.pump()
        self.assertIsInstance(self.successResultOf(ended), gun.ConnectFailed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_deferred_callbacks(self) -> None:
        """What raises in a Deferred's callback is that Deferred's failure, and nobody else's."""
        world = up()
        first = world.connection.get("/1").await_body().addCallback(lambda body: 1 / 0)
        second = world.connection.get("/2").await_body()
        world.pump()
        feed(world, OK + OK)
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), b"ok")

    def test_in_an_upgraded_stream(self) -> None:
        """One that raises after the upgrade ends the connection, which is that stream's alone."""
        raising = _Raising("gun_data")
        world = up(reply_to=raising)
        world.connection.get("/", UPGRADE)
        world.pump()
        feed(world, SWITCH + b"raw")
        self.assertEqual(raising.names(), ["gun_upgrade", "gun_data", "gun_error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])


LAST_OK = answer(b"ok", 200, b"connection: close")


class _Raising(RecordingReceiver):
    """Raises in one method."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda event: 1 / 0 if event.told_as == name else None)


class HookTests(SynchronousTestCase):
    """What is run for its own sake, such as `on_up`."""

    def test_called(self) -> None:
        """A hook is called with what it is to be told; what it returns does not matter."""
        told: list[object] = []
        for result in (None, 5, succeed("done")):

            def hook(value: object, result: object = result) -> object:
                told.append(value)
                return result

            run_hook(hook, "told")
        self.assertEqual(told, ["told"] * 3)

    def test_coroutine(self) -> None:
        """A coroutine function is run to its end."""
        waited: Deferred[str] = Deferred()
        results: list[object] = []

        async def hook(told: object) -> None:
            results.append((told, await waited))

        run_hook(hook, "told")
        self.assertEqual(results, [])
        waited.callback("later")
        self.assertEqual(results, [("told", "later")])

    def test_raises(self) -> None:
        """What a hook raises is logged, at once and later, and goes nowhere else."""

        def at_once(told: object) -> None:
            raise ZeroDivisionError

        async def in_a_coroutine(told: object) -> None:
            raise ZeroDivisionError

        for hook in (at_once, in_a_coroutine, lambda told: fail(ZeroDivisionError())):
            run_hook(hook, "told")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_ended(self) -> None:
        """That the connection, or a stream, has ended is for its owner to be told: of a hook that it ends nobody hears."""
        for hook in (lambda told: fail(gun.StreamClosed("gone")), raises_closed):
            run_hook(hook, "told")
        self.assertEqual(self.flushLoggedErrors(), [])


def raises_closed(told: object) -> None:
    """A hook that does not get to its end."""
    raise gun.StreamClosed("gone")


class TurnTests(SynchronousTestCase):
    """The mailbox within one turn, and before any."""

    def test_cancelled_and_awaited_in_one_turn(self) -> None:
        """What a Deferred was to get that another one's callback cancels is there for whatever is awaited next, in order."""
        for name, kind in (("await_event", gun.Response), ("await_response", gun.Response), ("await_body", bytes)):
            world = up()
            stream = world.connection.get("/a")
            ask = getattr(world.connection.get("/b"), name)
            waiting, found = ask(), list[Any]()

            def again(_: object, ask: Any = ask, waiting: Any = waiting, found: list[Any] = found) -> None:
                waiting.cancel()
                ask().addCallback(found.append)

            stream.await_event().addCallback(again)
            world.pump()
            feed(world, OK + OK)
            self.failureResultOf(waiting, CancelledError)
            self.assertIsInstance(found[0], kind)
            self.assertTrue(found[0] == b"ok" or found[0].status == 200)

    def test_bad_timeout(self) -> None:
        """A timeout that cannot be waited for raises at the call, and nothing is being awaited then."""
        world = up()
        stream = world.connection.get("/")
        for timeout in (-1, "5", float("nan"), float("inf")):
            for ask in (stream.await_event, stream.await_response, stream.await_body, stream.await_upgrade):
                error = self.assertRaises(gun.OptionError, ask, timeout)
                self.assertIn("timeout", str(error))
        world.pump()
        feed(world, OK)
        self.assertEqual(self.successResultOf(stream.await_body()), b"ok")

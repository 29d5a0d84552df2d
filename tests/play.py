"""
Lives that are played once for each callback and each action: whatever is asked for from within is done, in order, and harms nobody.

What happens in a life is the heir's, for each protocol; what is done in its callbacks, and what must be true in the end, is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

import twisted_gun as gun
from tests.stage import LifeCase
from twisted_gun.testing import MemoryGun, RecordingReceiver


class Boom(Exception):
    """What the action "raise" raises, and nothing else."""


class Play:
    """One life, in which `action` is done the first `most` times that `callback` happens."""

    def __init__(self, callback: str, action: str, most: int = 1) -> None:
        self.callback, self.action = callback, getattr(self, f"do_{action}")
        self.done, self.most = 0, most
        self.told = RecordingReceiver(self.react)
        self.refused: list[gun.GunError] = []  # what the actions raised: all of it is ours
        self.cancelled: set[Any] = set()
        self.streams: list[Any] = []
        self.others: list[Any] = []
        self.awaited: Any = None
        self.world = self.make_world()
        self.conn = self.world.connection
        self.target: Any = None  # the stream a callback is about

    # What happens.

    def make_world(self) -> MemoryGun:
        """A world in which all is told to `told`."""
        return MemoryGun(owner=self.told, reply_to=self.told, retry_timeout=1.0)

    def play(self) -> None:
        """Opening, requests, answers, a loss, another connection, an end."""
        self.conn.await_up(None).addCallback(self.reached, "await_up").addErrback(self.ignore)
        self.world.pump()
        self.first_connection()
        self.answers()
        self.second_connection()
        self.world.pump()
        self.conn.close()
        self.world.pump()

    def first_connection(self) -> None:
        """Requests of every kind, and an upload."""
        raise NotImplementedError

    def answers(self) -> None:
        """Their answers, of which one is cut off by a loss."""
        raise NotImplementedError

    def second_connection(self) -> None:
        """What else may happen."""
        raise NotImplementedError

    def wait_for_response(self) -> None:
        """Make the request that is awaited."""
        self.awaited = self.ask("get", "/awaited", reply_to=None)
        if self.awaited is not None:
            response = self.awaited.await_response(None)
            response.addCallback(self.reached, "await_response", self.awaited).addErrback(self.ignore)

    def wait_for_body(self) -> None:
        """Await its content."""
        if self.awaited is not None:
            body = self.awaited.await_body(None)
            body.addCallback(self.reached, "await_body", self.awaited).addErrback(self.ignore)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A request, if the connection still takes one."""
        try:
            stream = getattr(self.conn, method)(*arguments, **options)
        except (gun.ShuttingDown, gun.BadState) as error:
            self.refused.append(error)
            return None
        self.streams.append(stream)
        return stream

    def react(self, event: Any) -> None:
        name = event.told_as
        if name == "gun_error":
            name = f"gun_error({'connection' if event.stream is None else 'stream'})"
        self.reached(None, name, getattr(event, "stream", None))

    def reached(self, result: Any, callback: str, target: Any = None) -> Any:
        """`callback` happens: act, as often as we should."""
        if callback == self.callback and self.done < self.most:
            self.done += 1
            self.target = target
            self.action()
        return result

    def ignore(self, failure: Any) -> None:
        failure.trap(gun.GunError, Boom)

    # What is done.

    def attempt(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Do it; that it may be refused at the call is part of the API, as long as the refusal is one of ours."""
        try:
            action(*arguments)
        except gun.GunError as error:
            self.refused.append(error)

    def do_get(self) -> None:
        self.ask("get", "/again")

    def do_post(self) -> None:
        self.ask("post", "/again", (), b"content")

    def do_stream_a_body(self) -> None:
        stream = self.ask("headers", "POST", "/streamed")
        if stream is not None:
            self.attempt(stream.data, b"one")
            self.attempt(stream.data, b"two", True)

    def do_data(self) -> None:
        if self.target is not None:
            self.attempt(self.target.data, b"more")

    def do_cancel_this(self) -> None:
        if self.target is not None and not self.target.ended:
            self.cancelled.add(self.target)
            self.target.cancel()

    def do_cancel_another(self) -> None:
        for stream in self.streams:
            if stream is not self.target and not stream.ended:
                self.cancelled.add(stream)
                stream.cancel()
                return

    def do_update_flow(self) -> None:
        if self.target is not None:
            self.target.update_flow(3)

    def do_flush(self) -> None:
        self.conn.flush()

    def do_close(self) -> None:
        self.conn.close()

    def do_shutdown(self) -> None:
        self.conn.shutdown()

    def do_set_owner(self) -> None:
        self.attempt(self.conn.set_owner, self.told)

    def do_lose_owner(self) -> None:
        self.attempt(self.conn.set_owner, None)

    def do_info(self) -> None:
        self.conn.info()
        if self.target is not None:
            self.target.info()

    def do_raise(self) -> None:
        raise Boom

    def do_open(self) -> None:
        other = gun.open("other.example", 80, reactor=self.world.clock, endpoint=self.world.endpoint, owner=RecordingReceiver())
        self.others.append(other)


@implementer(IBodyProducer)
class Producer:
    """A producer whose every method is a callback to act in."""

    length = UNKNOWN_LENGTH

    def __init__(self, play: Play) -> None:
        self._play = play
        self._consumer: Any = None
        self._finished: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._finished = Deferred()
        self._play.reached(None, "startProducing", consumer)
        consumer.write(b"x" * 300_000)  # more than the socket takes, so that it is paused and resumed
        return self._finished

    def finish(self) -> None:
        if self._finished is not None:
            finished, self._finished = self._finished, None
            finished.callback(None)

    def pauseProducing(self) -> None:
        self._play.reached(None, "pauseProducing", self._consumer)

    def resumeProducing(self) -> None:
        self._play.reached(None, "resumeProducing", self._consumer)

    def stopProducing(self) -> None:
        self._finished = None
        self._play.reached(None, "stopProducing", self._consumer)


#: What a callback may do.
ACTIONS = tuple(name.removeprefix("do_") for name in vars(Play) if name.startswith("do_"))


class MatrixCase(LifeCase):
    """Plays, with one action in one callback each."""

    player: type[Play]

    def check(self, callback: str, action: str, most: int = 1) -> None:
        play = self.player(callback, action, most)
        play.play()
        self.assertTrue(1 <= play.done <= most, f"{callback} happened {play.done} times")
        logged = [type(failure.value) for failure in self.flushLoggedErrors()]
        self.assertEqual(logged, [Boom] * (play.done if self.is_logged(callback, action) else 0))
        self.assert_told_in_order(play.told)
        self.assert_each_ended_once(play)
        for other in play.others:
            other.close()
        play.world.pump()
        self.assert_nothing_left(play.world)

    def is_logged(self, callback: str, action: str) -> bool:
        """A receiver or producer that raises is logged; what a Deferred's callback raises is the Deferred's."""
        return action == "raise" and callback not in ("await_up", "await_response", "await_body", "ping", "startProducing")

    def assert_each_ended_once(self, play: Play) -> None:
        for stream in play.streams:
            told = sum(event.fin for event in play.told.events if getattr(event, "stream", None) is stream)
            if stream.info() is not None:
                self.fail(f"{stream} has not ended")
            if stream is not play.awaited:
                self.assertEqual(told, 0 if stream in play.cancelled else 1, stream)


def add_tests(case: type[MatrixCase], callbacks: Iterable[str], actions: Iterable[str]) -> None:
    """Give `case` two tests for each callback and each action: once, and again and again."""

    def test_of(callback: str, action: str, most: int) -> Callable[[MatrixCase], None]:
        def test(self: MatrixCase) -> None:
            self.check(callback, action, most)

        test.__doc__ = f"In {callback}: {action.replace('_', ' ')}, {'once' if most == 1 else 'again and again'}."
        return test

    actions = tuple(actions)
    for callback in callbacks:
        for action in actions:
            name = f"test_{callback}_{action}".replace("(", "_").replace(")", "")
            setattr(case, name, test_of(callback, action, 1))
            setattr(case, f"{name}_always", test_of(callback, action, 100))

"""`twisted_gun.net.proxy`: whatever is done to tunnels in whatever order, each ends once, and nothing is left."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectingCancelledError

import twisted_gun as gun
from tests.net import proxying
from tests.net.proxying import Client

SEEDS = 60
STEPS = 60


class _Chaos:
    """One run: everything that happens is drawn from `random`."""

    def __init__(self, case: proxying.ProxyCase, random: Random) -> None:
        self.case, self.random = case, random
        self.proxy = case.proxy(tunnel_timeout=5.0, closing_timeout=5.0)
        self.wanted: list[Any] = []
        self.results: dict[Any, list[Any]] = {}
        self.over = False

    def run(self) -> None:
        """Do this and that, then end all."""
        for _ in range(STEPS):
            getattr(self, self.random.choice(self.WHAT))()
            if self.random.random() < 0.6:
                self.case.pump()
        self.over = True
        self.case.way.accept()
        for client in self.case.clients.built:
            client.react = lambda told: None
        for wanted in self.wanted:
            wanted.cancel()
        self.case.pump()
        for client in self.case.clients.built:
            if client.lost is None and client.told:
                client.ask("abortConnection")
        self.case.clock.pump([1.0] * 30)

    WHAT = (
        *("want", "want", "write", "write", "write", "answer", "answer", "lose", "abort", "far_write", "far_end", "far_abort", "cancel"),
        *("pause", "resume", "wait", "refuse_dial", "hang_onward", "accept", "refuse_tunnels", "lose_proxy", "reentrant"),
    )

    def want(self) -> None:
        wanted: Any = self.case.want(self.proxy, f"h{len(self.wanted)}.example")
        results = self.results[wanted] = []
        wanted.addBoth(results.append)
        self.wanted.append(wanted)

    def reentrant(self) -> None:
        """Whoever is told next wants something else at once."""
        if self.wanted:
            self.random.choice(self.wanted).addBoth(self._again)
        if self.case.clients.built:
            client = self.random.choice(self.case.clients.built)
            client.react = lambda told: self.random.choice((self.want, self.cancel, self.lose, self.abort))()

    def _again(self, result: Any) -> Any:
        if not self.over:
            self.cancel()
            self.want()
        return result

    def cancel(self) -> None:
        if self.wanted:
            self.random.choice(self.wanted).cancel()

    def _one(self) -> Client | None:
        live = [client for client in self.case.clients.built if client.told and client.lost is None]
        return self.random.choice(live) if live else None

    def _ask(self, method: str, *arguments: Any) -> None:
        client = self._one()
        if client is not None:
            client.busy, busy = True, client.busy
            getattr(client.transport, method)(*arguments)
            client.busy = busy

    def write(self) -> None:
        self._ask("write", bytes(self.random.choice((1, 1000, 200_000))))

    def lose(self) -> None:
        self._ask("loseConnection")

    def abort(self) -> None:
        self._ask("abortConnection")

    def pause(self) -> None:
        self._ask("pauseProducing")

    def resume(self) -> None:
        self._ask("resumeProducing")

    def _far(self, method: str, *arguments: Any) -> None:
        far = [origin for origin in self.case.origins if origin.lost is None]
        if far:
            getattr(self.random.choice(far).transport, method)(*arguments)

    def far_write(self) -> None:
        self._far("write", bytes(self.random.choice((1, 1000, 200_000))))

    def far_end(self) -> None:
        self._far("loseConnection")

    def far_abort(self) -> None:
        self._far("abortConnection")

    def wait(self) -> None:
        self.case.clock.advance(self.random.choice((0.1, 1.0, 6.0)))

    def refuse_dial(self) -> None:
        self.case.way.refuse(times=1)

    def hang_onward(self) -> None:
        self.case.onward.hang()

    def accept(self) -> None:
        self.case.onward.accept()
        self.case.factory.refuse = None

    answer = accept

    def refuse_tunnels(self) -> None:
        self.case.factory.refuse = 2 if self.case.kind == "socks5" else 403

    def lose_proxy(self) -> None:
        up = [connection for connection in self.case.factory.connections if connection.lost is None]
        if up and self.random.random() < 0.3:
            self.random.choice(up).transport.abortConnection()


class _ChaosTests(proxying.ProxyCase):
    """What is true whatever happens."""

    def test_chaos(self) -> None:
        """Each that was wanted has one result, each protocol that was connected one end, and nothing is left."""
        opened = 0
        for seed in range(SEEDS):
            self.setUp()
            run = _Chaos(self, Random(seed))
            run.run()
            for results in run.results.values():
                self.assertEqual(len(results), 1, f"seed {seed}")
                failure = getattr(results[0], "value", None)
                self.assertIsInstance(failure, (type(None), gun.GunError, ConnectingCancelledError), f"seed {seed}")
            for client in self.clients.built:
                self.assertEqual(client.lost is None, not client.told, f"seed {seed}: {client.told}")
            opened += len(self.clients.built)
            self.assert_nothing_left()
        self.assertGreater(opened, SEEDS)


class HttpChaos(_ChaosTests):
    """HTTP/1.1."""


class Http2Chaos(_ChaosTests):
    """HTTP/2."""

    http2 = True


class SocksChaos(_ChaosTests):
    """SOCKS5."""

    kind = "socks5"


del _ChaosTests

"""`twisted_gun.net.proxy`: proxies of HTTP/2, of which all tunnels share one connection, over links in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectingCancelledError, ConnectionDone, NoProtocol
from twisted.python.failure import Failure

import twisted_gun as gun
from tests.net import proxying
from tests.net.proxying import MUCH, NAME
from tests.producers import Push
from twisted_gun.testing import Http2Peer


class Http2Tests(proxying.Tunnels):
    """HTTP/2, of which all tunnels share one connection."""

    http2 = True
    windows = 10

    def test_one_connection(self) -> None:
        """All tunnels wanted at a time share one, which is closed with the last of them, in good order."""
        proxy = self.proxy()
        wanted = [self.want(proxy, f"h{number}.example") for number in range(5)]
        self.pump()
        clients = [self.successResultOf(each) for each in wanted]
        self.assertEqual((self.way.attempts, len(self.asked)), (1, 5))
        self.open(proxy, host="late.example")
        self.assertEqual((self.way.attempts, len(self.asked)), (1, 6))
        for client in [*clients, self.clients.built[-1]]:
            self.assertFalse(self.way.links[0].client.disconnected)
            client.transport.loseConnection()
            self.pump()
        self.assert_nothing_left()
        self.assertIsInstance(self.factory.connections[0].lost.value, ConnectionDone)

    def test_dialled_again(self) -> None:
        """After that the next tunnel dials again."""
        proxy = self.proxy()
        self.open(proxy)[0].transport.loseConnection()
        self.pump()
        self.open(proxy)[0].transport.loseConnection()
        self.pump()
        self.assertEqual(self.way.attempts, 2)
        self.assert_nothing_left()

    def test_refused(self) -> None:
        """A refusal is of one tunnel; the others live on."""
        proxy = self.proxy()
        client, origin = self.open(proxy)
        self.factory.refuse = 403
        problem = self.failureResultOf(self.connect(proxy, host="other.example"), gun.ProxyFailed).value
        self.assertIn("other.example:443: it answered 403: its rules do not allow that", str(problem))
        origin.transport.write(b"still here")
        self.pump()
        self.assertEqual(client.received, b"still here")

    def test_ended_at_once(self) -> None:
        """A 200 that is all there is makes no tunnel."""
        peer = Http2Peer(lambda peer: [peer.respond(each) for each in peer.requests if not each.answered])
        problem = self.fails(self.connect(self.scripted(peer)), gun.ProxyFailed, "it answered 200", "has ended it at once")
        self.assertEqual(problem.status, 200)

    def test_reset(self) -> None:
        """A stream that is reset before the answer, and one after."""
        peer = Http2Peer(lambda peer: [peer.reset(each, 10) for each in peer.requests if not each.answered])
        self.fails(self.connect(self.scripted(peer)), gun.ProxyFailed, NAME, "CONNECT_ERROR")
        peer = Http2Peer([("expect", lambda request: True), ("respond", 200, {}, b"", False)])
        client = self.successResultOf(self.connect(self.scripted(peer)))
        peer.reset(peer.requests[0], 10)
        self.pump()
        self.assertIsInstance(client.lost, gun.StreamReset)
        self.assert_nothing_left()

    def test_others_wait_for_settings(self) -> None:
        """One tunnel is asked for at once; more of them when the proxy has said how many it takes, the rest on other connections."""
        peers = [Opening(settings={"max_concurrent_streams": 2}) for _ in range(3)]
        proxy = self.scripted(*peers)
        wanted = [self.want(proxy, f"h{number}.example") for number in range(5)]
        self.pump()
        for each in wanted:
            self.successResultOf(each)
        self.assertEqual([len(peer.requests) for peer in peers], [2, 2, 1])
        for client in self.clients.built:
            client.transport.abortConnection()
        self.assert_nothing_left()

    def test_only_one_before_settings(self) -> None:
        """As long as the proxy says nothing, no second tunnel is asked for; nor is the first waited for."""
        peer = Silent()
        proxy = self.scripted(peer)
        first, second = (self.want(proxy, f"h{number}.example") for number in range(2))
        self.pump()
        self.assertEqual([request.authority for request in peer.requests], [b"h0.example:443"])
        second.cancel()
        self.failureResultOf(second, ConnectingCancelledError)
        first.cancel()
        self.fails(first, ConnectingCancelledError)

    def test_silent(self) -> None:
        """A proxy that never says anything fails those that wait as well, each once."""
        silent = [Silent() for _ in range(2)]
        proxy = self.scripted(*silent, tunnel_timeout=None)
        wanted = [self.want(proxy, f"h{number}.example") for number in range(2)]
        self.pump()
        self.clock.advance(5)
        self.failureResultOf(wanted[0], gun.TimedOut)
        self.pump()
        self.assertNoResult(wanted[1])  # it was never asked for: another connection may do
        self.clock.advance(5)
        self.pump()
        self.fails(wanted[1], gun.TimedOut, "preface")

    def test_no_streams_at_all(self) -> None:
        """A proxy that allows no streams is not asked for ever."""
        peers = [Http2Peer(refuse_all, settings={"max_concurrent_streams": 0}) for _ in range(3)]
        self.fails(self.connect(self.scripted(*peers)), gun.ProxyFailed, "refused this stream")
        self.assertEqual(self.way.attempts, 2)

    def test_going_away(self) -> None:
        """A proxy that goes away keeps its tunnels, however long; new ones have a new connection."""
        peers = [Opening(), Opening()]
        proxy = self.scripted(*peers)
        client = self.successResultOf(self.connect(proxy))
        peers[0].goaway()
        self.pump()
        other = self.successResultOf(self.connect(proxy))
        self.assertEqual([len(peer.requests) for peer in peers], [1, 1])
        self.clock.advance(10_000)
        peers[0].send_data(peers[0].requests[0], b"still here", False)
        self.pump()
        self.assertEqual((client.received, other.told), (b"still here", ["made"]))
        client.transport.abortConnection()
        other.transport.abortConnection()
        self.assert_nothing_left()

    def test_going_away_before_the_answer(self) -> None:
        """A tunnel that the proxy did not look at is asked for again, once, on another connection; those that waited go there too."""
        leaving = Http2Peer(lambda peer: peer.requests and not peer.gone_away and peer.goaway(0), settings={})
        opening = Opening()
        proxy = self.scripted(leaving, opening)
        wanted = [self.want(proxy, f"h{number}.example") for number in range(2)]
        self.pump()
        for each in wanted:
            self.successResultOf(each)
        self.assertEqual(sorted(request.authority for request in opening.requests), [b"h0.example:443", b"h1.example:443"])

    def test_slow_proxy_is_left(self) -> None:
        """A connection that has left a request without an answer may be dead: new tunnels take another, those that are there stay."""
        peers = [Opening(1), Opening()]
        proxy = self.scripted(*peers)
        client = self.successResultOf(self.connect(proxy))
        late = self.connect(proxy)
        self.clock.advance(10)
        self.failureResultOf(late, gun.TimedOut)
        self.pump()
        self.assertEqual(peers[0].requests[1].reset, 8)
        self.successResultOf(self.connect(proxy))
        self.assertEqual((len(peers[1].requests), client.told), (1, ["made"]))

    def test_cancel_one_of_many(self) -> None:
        """Cancelling gives up that tunnel alone: while dialling, while waiting, and once asked for."""
        proxy = self.proxy()
        self.onward.hang()
        first, second, third = (self.want(proxy, f"h{number}.example") for number in range(3))
        first.cancel()
        self.failureResultOf(first, ConnectingCancelledError)
        self.pump()
        self.assertEqual(self.asked, [("h1.example", 443), ("h2.example", 443)])
        second.cancel()
        self.failureResultOf(second, ConnectingCancelledError)
        self.pump()
        self.assertFalse(self.way.links[0].client.disconnected)
        self.onward.accept()
        self.assertEqual(self.successResultOf(self.connect(proxy)).told, ["made"])
        third.cancel()
        self.failureResultOf(third, ConnectingCancelledError)

    def test_dialling_fails_for_all(self) -> None:
        """Those that wait for a dial fail with it; whoever then asks again is dialled for."""
        proxy = self.proxy()
        self.way.refuse(times=1)
        again: list[Any] = []
        first, second, third = (self.want(proxy) for _ in range(3))

        def failed(failure: Failure) -> None:
            second.cancel()
            again.append(self.want(proxy))

        first.addErrback(failed)
        self.pump()
        self.failureResultOf(second, ConnectingCancelledError)
        self.failureResultOf(third, gun.ConnectFailed)
        self.successResultOf(again[0])
        self.assertEqual(self.way.attempts, 2)

    def test_lost_for_all(self) -> None:
        """What ends the connection ends each tunnel, and each request for one, once."""
        proxy = self.proxy()
        client, _ = self.open(proxy)
        self.onward.hang()
        wanted = self.connect(proxy)
        self.factory.connections[0].transport.abortConnection()
        self.pump()
        self.assertIsInstance(client.lost, gun.ConnectionFailed)
        self.fails(wanted, gun.ProxyFailed, NAME)

    def test_blocked_one_alone(self) -> None:
        """A far end that takes nothing holds up its own tunnel; another one's bytes pass."""
        proxy = self.proxy()
        first, blocked = self.open(proxy)
        second, origin = self.open(proxy)
        blocked.transport.pauseProducing()
        producers = [Push(), Push()]
        for client, producer in zip((first, second), producers, strict=True):
            client.transport.registerProducer(producer, True)
        first.transport.write(MUCH)
        self.pump()
        second.transport.write(b"past it")
        self.pump()
        self.assertEqual((producers[0].asked[-1], origin.received), ("pause", b"past it"))
        self.assertIn(producers[1].asked[-1:], ([], ["resume"]))

    def test_end_without_answer(self) -> None:
        """A far end that does not close its side is waited for no longer than `closing_timeout`; then that is an end as any other."""
        peer = Opening()
        client = self.successResultOf(self.connect(self.scripted(peer, closing_timeout=2.0)))
        client.ask("loseConnection")
        self.clock.advance(1.9)
        self.assertIsNone(client.lost)
        self.clock.advance(0.1)
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assertEqual((peer.requests[0].complete, peer.requests[0].reset), (True, 8))
        self.assert_nothing_left()

    def test_violation(self) -> None:
        """A proxy that breaks the protocol ends all, with what it did."""
        peer = Opening()
        proxy = self.scripted(peer)
        client = self.successResultOf(self.connect(proxy))
        peer.send(bytes(9) + b"\xff" * 20)
        self.pump()
        self.assertIsInstance(client.lost, gun.ProtocolViolation)
        self.assert_nothing_left()

    def test_violation_before_the_answer(self) -> None:
        """Who is told of it and asks again at once gets a new connection."""
        peers = [Http2Peer(lambda peer: peer.requests and peer.send(bytes(9) + b"\xff" * 20)), Opening()]
        proxy = self.scripted(*peers)
        again: list[Any] = []
        self.want(proxy).addErrback(lambda failure: again.append((failure.value, self.want(proxy))))
        self.pump()
        ((reason, wanted),) = again
        self.assertIsInstance(reason, gun.ProxyFailed)
        self.assertIsInstance(reason.__cause__, gun.ProtocolViolation)
        self.successResultOf(wanted)
        self.assertEqual(self.way.attempts, 2)

    def test_answers_at_once(self) -> None:
        """What is cancelled by whoever is told of the first of two answers is not opened by the second, nor failed once more."""
        for answer in (lambda peer, request: peer.respond(request, 200, {}, fin=False), Http2Peer.reset):
            peer = Http2Peer()
            proxy = self.scripted(peer)
            wanted = [self.connect(proxy) for _ in range(2)]
            told: list[Any] = []

            def tell(result: Any, other: Any = wanted[1], told: list[Any] = told) -> None:
                told.append(result)
                other.cancel()

            wanted[0].addBoth(tell)
            for request in peer.requests:
                answer(peer, request)
            self.pump()
            self.assertEqual(len(told), 1)
            self.failureResultOf(wanted[1], ConnectingCancelledError)
            self.clients.built = []

    def test_nobody_for_what_comes(self) -> None:
        """What comes along with the answer to a tunnel that nobody stands on is dropped, its end too."""
        peer = Http2Peer([("expect", lambda request: True), ("respond", 200, {}, b"early")])
        self.fails(self.connect(self.scripted(peer), factory=proxying.ClientFactory(lambda: None)), NoProtocol)

    def test_paused_before_it_is_there(self) -> None:
        """A tunnel that comes to be while the proxy takes nothing finds its producer paused, until it takes more."""
        peer = Opening(1, settings={"initial_window_size": 1 << 24})
        proxy = self.scripted(peer)
        first = self.successResultOf(self.connect(proxy))
        wanted = self.connect(proxy)
        peer.window_update(0, 1 << 24)
        self.pump()
        peer.pause()
        first.transport.write(MUCH)
        self.pump()
        peer.respond(peer.requests[1], 200, {}, fin=False)
        self.pump()
        producer = Push()
        self.successResultOf(wanted).transport.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])
        peer.resume()
        self.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.assertEqual(peer.requests[0].body, MUCH)


class Opening(Http2Peer):
    """A proxy of HTTP/2 that makes each tunnel, or as many as it is told, and sends nothing through them."""

    def __init__(self, most: int = 1000, **options: Any) -> None:
        super().__init__(self._open, **options)
        self._left = most
        self._opened = 0

    def _open(self, peer: Http2Peer) -> None:
        while self._opened < min(len(self.requests), self._left):
            self._opened += 1
            self.respond(self.requests[self._opened - 1], 200, {}, fin=False)


class Silent(Http2Peer):
    """One that says nothing, not even what it takes."""

    def settings(self, **values: int) -> None:
        """Nothing."""

    def send(self, data: bytes) -> None:
        """Nothing."""


def refuse_all(peer: Http2Peer) -> None:
    """REFUSED_STREAM to each request."""
    for request in peer.requests:
        if not request.answered:
            peer.reset(request, 7)

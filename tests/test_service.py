"""`GunClientService`: it opens, keeps and ends a connection, and its children live as long."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application, IService, IServiceCollection, MultiService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.services import ServiceReceiver
from tests.stage import OK
from twisted_gun.net.factory import _Backoff
from twisted_gun.service import GunClientService
from twisted_gun.testing import MemoryEndpoint, RecordingReceiver, ScriptedPeer


class ServiceCase(SynchronousTestCase):
    """A test of a service whose servers and clock are its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self._new_peer), clock=self.clock)

    def _new_peer(self) -> ScriptedPeer:
        self.peers.append(ScriptedPeer())
        return self.peers[-1]  # type: ignore[no-any-return]

    def service(self, **options: Any) -> GunClientService:
        """A service to example.org."""
        if not {"url", "path", "host"} & set(options):
            options.update(host="example.org", port=80)
        return GunClientService(**{"endpoint": self.endpoint, "reactor": self.clock, **options})

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and all happen that follows."""
        self.clock.advance(seconds)
        for _ in range(4):
            self.clock.advance(0)

    def started(self, **options: Any) -> GunClientService:
        """A service that runs, and whose connection is up."""
        service = self.service(**options)
        service.startService()
        self.advance()
        return service

    def stop(self, service: GunClientService) -> None:
        """Stop it: it leaves nothing behind."""
        stopped = service.stopService()
        self.advance()
        self.assertIsNone(self.successResultOf(stopped))
        self.assert_nothing_left()

    def assert_nothing_left(self) -> None:
        """No delayed call and no open connection is left."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for link in self.endpoint.links:
            self.assertTrue(link.client.disconnected)


class LifeTests(ServiceCase):
    """Start and stop."""

    def test_interfaces(self) -> None:
        """It is a service, and a collection of services."""
        service = self.service()
        verifyObject(IService, service)
        verifyObject(IServiceCollection, service)

    def test_nothing_before_start(self) -> None:
        """Making one opens nothing."""
        service = self.service()
        self.advance()
        self.assertIsNone(service.connection)
        self.assertEqual(self.endpoint.attempts, 0)
        self.assertEqual(repr(service), "<GunClientService example.org:80>")

    def test_start(self) -> None:
        """Started, it has a connection, which takes requests."""
        service = self.started()
        self.assertEqual(repr(service), "<GunClientService example.org:80 running>")
        assert service.connection is not None
        response = service.connection.get("/").await_response()
        self.advance()
        self.peers[0].send(OK)
        self.advance()
        self.assertEqual(self.successResultOf(response).status, 200)
        self.stop(service)
        self.assertIsNone(service.connection)

    def test_start_twice(self) -> None:
        """Starting what runs is nothing."""
        service = self.started()
        service.startService()
        self.advance()
        self.assertEqual(self.endpoint.attempts, 1)
        self.stop(service)

    def test_stop_before_start(self) -> None:
        """Stopping what never ran is nothing."""
        self.stop(self.service())

    def test_stop_is_graceful(self) -> None:
        """What is under way finishes, and only then it has stopped."""
        service = self.started()
        assert service.connection is not None
        body = service.connection.get("/").await_body()
        self.advance()
        stopped = service.stopService()
        self.advance()
        self.assertNoResult(stopped)
        self.peers[0].send(OK)
        self.advance()
        self.assertEqual(self.successResultOf(body), b"ok")
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_closing_timeout(self) -> None:
        """A server that does not answer any more is waited for as long as ``closing_timeout`` says."""
        service = self.started(http_opts={"closing_timeout": 3.0})
        assert service.connection is not None
        body = service.connection.get("/").await_body(timeout=None)
        self.advance()
        stopped = service.stopService()
        self.advance(2.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        self.failureResultOf(body, gun.GunError)
        self.assert_nothing_left()
        self.assertEqual(service._leaving, [])

    def test_stop_while_dialling(self) -> None:
        """It stops while it dials, and while it waits to dial again."""
        self.endpoint.hang()
        service = self.started()
        self.stop(service)
        self.endpoint.refuse()
        service.startService()
        self.clock.pump([1.0] * 100)
        self.assertGreater(self.endpoint.attempts, 3)
        self.stop(service)

    def test_stop_twice(self) -> None:
        """Both stops are done when the connection has ended."""
        service = self.started()
        assert service.connection is not None
        service.connection.get("/", reply_to=gun.Receiver())
        self.advance()
        stops = [service.stopService(), service.stopService()]
        self.advance()
        for stopped in stops:
            self.assertNoResult(stopped)
        self.peers[0].send(OK)
        self.advance()
        for stopped in stops:
            self.successResultOf(stopped)

    def test_again(self) -> None:
        """It may be started again, with another connection."""
        service = self.started()
        first = service.connection
        self.stop(service)
        service.startService()
        self.advance()
        self.assertIsNot(service.connection, first)
        self.assertEqual(self.successResultOf(service.when_up()), service.connection)
        self.stop(service)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_again_while_stopping(self) -> None:
        """Started while the old connection still ends, it has a new one, and the old stop is done when the old one has ended."""
        receiver = ServiceReceiver()
        service = self.started(receiver=receiver)
        assert service.connection is not None
        service.connection.get("/")
        self.advance()
        stopped = service.stopService()
        service.startService()
        self.advance()
        self.assertNoResult(stopped)
        self.assertEqual(len(self.peers), 2)
        self.peers[0].send(OK)
        self.advance()
        self.successResultOf(stopped)
        self.assertEqual((service.running, receiver.running), (1, 1))
        self.assertEqual(receiver.told, ["start", "up", "up", "response"])
        self.stop(service)
        self.assertEqual(receiver.told[-1], "stop")

    def test_in_application(self) -> None:
        """It works inside an application, below another service."""
        application: Any = Application("test")
        parent = MultiService()
        parent.setServiceParent(application)
        service = self.service()
        service.setServiceParent(parent)
        top: Any = IService(application)
        top.privilegedStartService()
        top.startService()
        self.advance()
        self.successResultOf(service.when_up())
        stopped = top.stopService()
        self.advance()
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_added_to_what_runs(self) -> None:
        """Added to a parent that runs it starts, and taken away it stops."""
        parent = MultiService()
        parent.startService()
        service = self.service()
        service.setServiceParent(parent)
        self.advance()
        self.assertEqual(len(self.peers), 1)
        gone = service.disownServiceParent()
        self.advance()
        self.successResultOf(gone)
        self.assert_nothing_left()


class KeepingTests(ServiceCase):
    """The connection comes back."""

    def test_never_gives_up(self) -> None:
        """By default it tries for ever, after waits that grow up to a minute."""
        self.endpoint.refuse()
        service = self.started()
        assert service.connection is not None
        for _ in range(200):
            self.advance(60.0)
        self.assertGreater(self.endpoint.attempts, 200)
        self.endpoint.accept()
        self.advance(60.0)
        self.successResultOf(service.when_up())
        self.stop(service)

    def test_comes_back(self) -> None:
        """A connection that is lost is dialled again; it is the same for who holds it."""
        service = self.started()
        connection = service.connection
        self.peers[0].close()
        self.advance()
        self.advance(0.5)
        self.assertEqual(len(self.peers), 2)
        self.assertIs(service.connection, connection)
        self.stop(service)

    def test_retries_of_ones_own(self) -> None:
        """Who says when to dial again has decided, by a keyword or by options."""
        for given in ({"retry": 2}, {"retry_timeout": 1.0}, {"options": gun.Options(retry=3)}):
            self.assertIsNone(self.service(**given)._options.retry_fun, given)
        chosen = gun.backoff(1.0)
        self.assertIs(self.service(retry_fun=chosen)._options.retry_fun, chosen)
        for given in ({}, {"options": gun.Options(max_waiting=3)}):
            self.assertIsInstance(self.service(**given)._options.retry_fun, _Backoff)

    def test_gives_up(self) -> None:
        """A connection that gives up stays as it is: who waits for it learns why, and it is logged."""
        logged: list[Any] = []
        observer: Any = logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.endpoint.refuse()
        service = self.started(retry=1, retry_timeout=1.0)
        waiting = service.when_up()
        self.advance(10.0)
        told = [event["reason"] for event in logged if event.get("service") is service]
        self.assertEqual([type(reason) for reason in told], [gun.ConnectFailed])
        reason = self.failureResultOf(waiting, gun.ConnectFailed).value
        self.assertIs(self.failureResultOf(service.when_up()).value, reason)
        self.assertEqual(self.endpoint.attempts, 2)
        self.stop(service)
        self.assertEqual(len([event for event in logged if event.get("service") is service]), 1)
        self.endpoint.accept()
        service.startService()
        self.advance()
        self.successResultOf(service.when_up())
        self.stop(service)

    def test_ended_by_others(self) -> None:
        """A connection that somebody closes is not opened again before the service is."""
        service = self.started()
        assert service.connection is not None
        service.connection.close()
        self.advance(100.0)
        self.assertEqual(self.endpoint.attempts, 1)
        self.failureResultOf(service.when_up(), gun.ShuttingDown)
        self.stop(service)


class WhenUpTests(ServiceCase):
    """`when_up`."""

    def test_waits_for_start(self) -> None:
        """Who asks before the start is told when the connection is up."""
        service = self.service()
        waiting = [service.when_up(), service.when_up(timeout=5.0)]
        self.advance(4.0)
        service.startService()
        for each in waiting:
            self.assertNoResult(each)
        self.advance()
        for each in waiting:
            self.assertIs(self.successResultOf(each), service.connection)
        self.stop(service)

    def test_timeout(self) -> None:
        """It fails when the time is over, before the start and after it."""
        service = self.service()
        waiting = service.when_up(timeout=5.0)
        self.advance(5.0)
        self.assertEqual(self.failureResultOf(waiting, gun.TimedOut).value.stage, "up")
        self.endpoint.hang()
        service.startService()
        waiting = service.when_up(timeout=5.0)
        self.advance(5.0)
        self.failureResultOf(waiting, gun.TimedOut)
        self.stop(service)
        self.assertRaises(gun.OptionError, service.when_up, timeout=-1)

    def test_cancel(self) -> None:
        """Cancelling only ends the waiting, before the start and after it."""
        service = self.service()
        early = service.when_up(timeout=9.0)
        early.cancel()
        self.failureResultOf(early, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        waits = service.when_up()
        self.endpoint.hang()
        service.startService()
        waits.cancel()
        self.failureResultOf(waits, CancelledError)
        late = service.when_up()
        late.cancel()
        self.failureResultOf(late, CancelledError)
        self.stop(service)

    def test_stopped(self) -> None:
        """Who waits for a connection learns that it was stopped."""
        self.endpoint.hang()
        service = self.service()
        early = service.when_up()
        service.startService()
        late = service.when_up()
        self.stop(service)
        for each in (early, late):
            self.failureResultOf(each, gun.ShuttingDown)


class ChildrenTests(ServiceCase):
    """Receivers that are services, and other children."""

    def test_receiver(self) -> None:
        """A receiver is told of the connection, and of its streams."""
        receiver = RecordingReceiver()
        service = self.started(receiver=receiver)
        assert service.connection is not None
        service.connection.get("/")
        self.advance()
        self.peers[0].send(OK)
        self.advance()
        self.assertEqual(receiver.names(), ["gun_up", "gun_response", "gun_data"])
        self.stop(service)

    def test_two_receivers(self) -> None:
        """One may be told of the connection, and another of its streams."""
        owner, reply_to = ServiceReceiver(), ServiceReceiver()
        service = self.started(owner=owner, reply_to=reply_to)
        assert service.connection is not None
        service.connection.get("/")
        self.advance()
        self.peers[0].send(OK)
        self.advance()
        self.assertEqual((owner.told, reply_to.told), (["start", "up"], ["start", "response"]))
        self.stop(service)
        self.assertEqual((owner.told[-1], reply_to.told[-1]), ("stop", "stop"))

    def test_order(self) -> None:
        """It is started before there is a connection, and stopped when that has ended; the end waits for it."""
        receiver = ServiceReceiver()
        receiver.stopping = Deferred()
        service = self.started(receiver=receiver)
        self.assertIs(receiver.parent, service)
        self.assertEqual(list(service), [receiver])
        assert service.connection is not None
        service.connection.get("/")
        self.advance()
        stopped = service.stopService()
        self.advance()
        self.peers[0].send(OK)
        self.advance()
        self.assertEqual(receiver.told, ["start", "up", "response", "stop"])
        self.assertNoResult(stopped)
        receiver.stopping.callback(None)
        self.successResultOf(stopped)

    def test_somebody_elses(self) -> None:
        """One that has a parent stays there."""
        parent, receiver = MultiService(), ServiceReceiver()
        receiver.setServiceParent(parent)
        service = self.started(receiver=receiver)
        self.assertIs(receiver.parent, parent)
        self.assertEqual(receiver.told, ["up"])
        self.stop(service)

    def test_other_children(self) -> None:
        """Any service may be a child; one that stopped already is not stopped once more."""
        child = ServiceReceiver()
        service = self.started()
        child.setServiceParent(service)
        self.assertEqual(child.told, ["start"])
        child.stopService()
        self.stop(service)
        self.assertEqual(child.told, ["start", "stop"])


class OptionTests(ServiceCase):
    """What it is made with."""

    def test_urls(self) -> None:
        """The place is given by a URL, by host and port, or by the path of a socket."""
        cases: list[tuple[dict[str, Any], tuple[Any, ...], str | None]] = [
            ({"url": "https://example.org/x"}, ("example.org", 443), "tls"),
            ({"url": "wss://example.org:8443"}, ("example.org", 8443), "tls"),
            ({"url": "ws://[::1]"}, ("::1", 80), "tcp"),
            ({"url": "http://example.org:443"}, ("example.org", 443), "tcp"),
            ({"host": "example.org", "port": 443}, ("example.org", 443), None),
            ({"path": "/run/socket"}, ("/run/socket",), None),
        ]
        for given, place, transport in cases:
            service = self.service(**given)
            self.assertEqual((service._place, service._options.transport), (place, transport), given)
        self.assertEqual(repr(self.service(path="/run/socket")), "<GunClientService /run/socket>")

    def test_refused(self) -> None:
        """What cannot be used raises where the service is made."""
        option: list[dict[str, Any]] = [
            {"host": "example.org", "port": 0},
            {"host": "example.org", "port": "80"},
            {"host": "example.org"},
            {"url": "http://a", "port": 80},
            {"url": "http://a", "protocols": ["http", "http2"]},
            {"url": "http://a", "host": "a", "port": 1},
            {"path": ""},
            {"path": "a\0b"},
            {"url": "http://a", "unknown": 1},
            {"url": "http://a", "retry": -1},
            {"url": "http://a", "owner": 3},
            {"url": "https://a", "transport": "tcp"},
            {"url": "ws://a", "transport": "tls"},
            {"url": "http://a", "receiver": print, "owner": print},
            {"url": "https://a", "protocols": ["http", "raw"]},
        ]
        for given in option:
            self.assertRaises(gun.OptionError, GunClientService, **given)
        self.assertRaises(gun.OptionError, GunClientService)
        for name in ("receiver", "owner", "reply_to"):
            error = self.assertRaises(gun.OptionError, GunClientService, "http://a", **{name: 3})
            self.assertEqual(error.option, name)
        self.assertRaises(gun.InvalidRequest, GunClientService, port=80)
        for url in ("ftp://a", "a", "http://", "http://u:p@a", "http://a:x", "http://a:0", 3, "http://a b"):
            self.assertRaises(gun.InvalidRequest, GunClientService, url)

    def test_secrets(self) -> None:
        """What a URL holds that may be secret is not shown."""
        for url in ("http://user:hidden@a", "http://a:hidden"):
            error = self.assertRaises(gun.InvalidRequest, GunClientService, url)
            self.assertNotIn("hidden", str(error))

    def test_child_that_raises(self) -> None:
        """Where a child cannot be started nothing is, and what was started before it is stopped; the next start tries again."""

        class Raising(Service):
            fails = True

            def startService(self) -> None:
                if self.fails:
                    raise ZeroDivisionError
                Service.startService(self)

        receiver, child = ServiceReceiver(), Raising()
        service = self.service(receiver=receiver)
        child.setServiceParent(service)
        for _ in range(2):
            self.assertRaises(ZeroDivisionError, service.startService)
            self.assertEqual((service.running, receiver.running, service.connection), (0, 0, None))
        self.assertEqual(receiver.told, ["start", "stop"] * 2)
        child.fails = False
        service.startService()
        self.advance()
        self.assertEqual((receiver.told[-1], child.running), ("up", 1))
        self.stop(service)

    def test_bad_file(self) -> None:
        """A file that cannot be read raises at the start; then it does not run, and its children do not."""
        receiver = ServiceReceiver()
        service = self.service(url="https://a", receiver=receiver, tls_opts={"trust_root": self.mktemp()})
        for _ in range(2):
            self.assertRaises(gun.OptionError, service.startService)
            self.assertEqual((service.running, receiver.running), (0, 0))
        self.assertEqual(receiver.told, ["start", "stop"] * 2)
        self.assertIsNone(service.connection)

    def test_reactor(self) -> None:
        """Without a reactor it takes the one there is, at the start."""
        from twisted.internet import reactor

        service = GunClientService("http://a", endpoint=self.endpoint)
        self.assertIsNone(service._reactor)
        self.assertIs(service._clock(), reactor)

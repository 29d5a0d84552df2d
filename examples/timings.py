"""Fetch URLs of one origin, and print how long each step took: ``python examples/timings.py URL...``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun
from twisted_gun import observations


class Timings(gun.EventHandler):
    """Prints the steps of a connection as they end, and each request with its own."""

    def __init__(self, reactor: IReactorTime) -> None:
        self.now = reactor.seconds
        self.begun: dict[object, float] = {}
        self.requests: dict[gun.Stream, tuple[str, dict[str, float]]] = {}

    def took(self, what: str, error: gun.GunError | None) -> None:
        print(f"{what}: {error or 'done'}, {self.now() - self.begun.pop(what):.3f} s")

    def domain_lookup_start(self, event: observations.DomainLookup) -> None:
        self.begun["lookup"] = self.now()

    def domain_lookup_end(self, event: observations.DomainLookup) -> None:
        self.took("lookup", event.error)

    def connect_start(self, event: observations.Connecting) -> None:
        self.begun["connect"] = self.now()

    def connect_end(self, event: observations.Connecting) -> None:
        self.took("connect", event.error)

    def tls_handshake_start(self, event: observations.TlsHandshake) -> None:
        self.begun["tls"] = self.now()

    def tls_handshake_end(self, event: observations.TlsHandshake) -> None:
        self.took("tls", event.error)

    def request_start(self, event: observations.RequestHead) -> None:
        path = event.path or event.authority
        self.requests[event.stream] = f"{event.method.decode()} {path.decode()}", {"start": self.now()}

    def request_end(self, event: observations.OfStream) -> None:
        self.requests[event.stream][1]["sent"] = self.now()

    def response_start(self, event: observations.OfStream) -> None:
        if event.stream in self.requests:  # which one that the server pushes is not
            self.requests[event.stream][1]["answered"] = self.now()

    def response_end(self, event: observations.OfStream) -> None:
        self.over(event.stream, "done")

    def protocol_changed(self, event: observations.ProtocolChanged) -> None:
        if event.stream is not None:  # over HTTP/1.1 a 101 is the end of HTTP
            self.over(event.stream, event.protocol)

    def cancel(self, event: observations.Cancelled) -> None:
        self.over(event.stream, f"cancelled: {event.reason}")

    def disconnect(self, event: observations.Disconnected) -> None:
        for stream in event.streams:
            self.over(stream, f"cut off: {event.reason}")

    def over(self, stream: gun.Stream, how: str) -> None:
        what, times = self.requests.pop(stream, ("", {}))
        if times:  # a tunnel or a websocket has been over before
            start = times.pop("start")
            steps = "".join(f"{step} after {when - start:.3f} s, " for step, when in times.items())
            print(f"{what}: {steps}{how} after {self.now() - start:.3f} s")


async def main(reactor: IReactorTime, *urls: str) -> None:
    conn = gun.open_url(urls[0], reactor=reactor, event_handler=Timings(reactor), retry=0)

    async def fetch(url: str) -> None:
        stream = conn.get(urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/")
        try:
            await stream.await_response(timeout=30.0)
            await stream.await_body()
        except gun.GunError:
            return  # the handler has said why

    await gatherResults([Deferred.fromCoroutine(fetch(url)) for url in urls])
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])

"""`twisted_gun.event_source`: redirects, and what goes where they lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.event_source_stage import EVENTS, EventSourceCase, stream
from tests.websocket.servers import MakePeer, answer, raw, silent
from twisted_gun import event_source
from twisted_gun.event_source import EventSourceFailed
from twisted_gun.testing import ScriptedPeer

STATUSES = (301, 302, 303, 307, 308)
SECRETS = {"authorization": "Bearer x", "cookie": "a=b", "proxy-authorization": "Basic y", "x-amz-security-token": "z"}


def moved(location: str, status: int = 302, **more: Any) -> MakePeer:
    """A server that redirects to `location`."""
    return answer(status, f"location: {location}", **more)


class FollowTests(EventSourceCase):
    """Where they lead."""

    def asked(self) -> list[tuple[str, str]]:
        """Host and path of each request, in the order of the connections."""
        return [
            (dict(request.headers)[b"host"].decode(), request.target.decode()) for peer in self.servers.peers for request in peer.requests
        ]

    def test_followed(self) -> None:
        """All five are followed, by a GET, at once; the identifier goes along, and `url` is where the events come from."""
        for status in STATUSES:
            self.serve(moved("https://b.example:8443/there?x=y", status))
            self.serve(silent, host="b.example", port=8443)
            source = self.source(last_event_id="7")
            self.assertEqual((source.url, source.ready_state), ("https://b.example:8443/there?x=y", "connecting"))
            self.assertEqual(self.servers.dialled[-2:], [("a.example", 80), ("b.example", 8443)])
            source.close()

    def test_relative(self) -> None:
        """A relative reference is resolved, and what should have been encoded is; the connection serves it, too."""
        self.serve(moved("/there/ü x"))
        source = self.source("http://a.example/here")
        self.send(EVENTS + b"data: one\n\n")
        self.assertEqual(self.asked(), [("a.example", "/here"), ("a.example", "/there/%C3%BC%20x")])
        self.assertEqual((self.read(source), len(self.servers.peers)), (["one"], 1))

    def test_relative_closed(self) -> None:
        """Another connection serves it where the first is closed."""
        self.serve(
            answer(302, "location: there", "connection: close", body=b"moved"),
            raw(b"HTTP/1.1 302 X\r\nlocation: after\r\n\r\n" + b"x" * 1_000_000),
            stream(b"data: one\n\n"),
        )
        source = self.source("http://a.example/a/b")
        self.assertEqual(self.asked(), [("a.example", "/a/b"), ("a.example", "/a/there"), ("a.example", "/a/after")])
        self.assertEqual((self.read(source), source.last_failure), (["one"], None))

    def test_temporary(self) -> None:
        """Later on the first URL is asked again, after a redirect that is temporary."""
        for status in (302, 303, 307):
            self.serve(moved("http://b.example/", status))
            self.serve(stream(b"data: one\n\n"), host="b.example")
            self.source(max_redirects=1)
            self.close()
            self.advance(3.0)
            self.assertEqual([host for host, _ in self.asked()], ["a.example", "b.example"] * 2)
            self.servers.peers.clear()
            self.sources[-1].close()

    def test_permanent(self) -> None:
        """After one that is permanent it is not; of several in a row those count that are before any temporary one."""
        for status in (301, 308):
            self.serve(moved("http://b.example/b", status))
            self.serve(moved("http://c.example/c", status), host="b.example")
            self.serve(moved("http://d.example/d", 307), host="c.example")
            self.serve(moved("http://e.example/e", status), host="d.example")
            self.serve(stream(b"data: one\n\n"), host="e.example")
            source = self.source()
            self.assertEqual(source.url, "http://e.example/e")
            self.close()
            self.advance(3.0)
            hosts = "".join(host[0] for host, _ in self.asked())
            self.assertEqual(hosts, "abcdecde")
            self.servers.peers.clear()
            source.close()

    def test_most(self) -> None:
        """So many may follow on each other, and no more; each attempt has as many."""
        for most in (0, 1, 5):
            self.serve(
                *(moved(f"/{at}", 302) for at in range(most)),
                stream(b"data: one\n\n"),
                *(moved(f"/{at}", 302) for at in range(most + 1)),
            )
            source = self.source(max_redirects=most, headers={"connection": "close"})
            self.assertEqual(self.read(source), ["one"])
            self.close()
            self.advance(3.0)
            error = self.failed(source.next_event(), EventSourceFailed)
            self.assertIn(f"max_redirects = {most}", str(error))
            self.assertEqual(error.response.status, 302)

    def test_loop(self) -> None:
        """A loop ends after 20."""
        self.serve(lambda: ScriptedPeer(lambda peer: peer.send(b"HTTP/1.1 301 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")))
        self.failed(self.source().next_event(), EventSourceFailed)
        self.assertEqual(len(self.asked()), 21)

    def test_refused(self) -> None:
        """What cannot be followed ends the source, and what is wrong is said without the location, which may hold a secret."""
        for location in (
            *("ftp://b.example/secret", "ws://b.example/secret", "http://user:secret@b.example/", "http://[secret/", "http://b:secret/"),
            *("http://b.example:0/secret", "http://secret%zz/"),
        ):
            self.serve(moved(location))
            source = self.source()
            error = self.failed(source.next_event(), EventSourceFailed)
            self.assertNotIn("secret", str(error))
            self.assertEqual((error.response.status, source.url), (302, "http://a.example/feed"))

    def test_without_a_place(self) -> None:
        """A redirect without Location, or with two, leads nowhere; the same one twice is one."""
        for fields in ((), ("location: /x", "location: /y")):
            self.serve(answer(302, *fields))
            self.failed(self.source().next_event(), EventSourceFailed)
        self.serve(answer(302, "location: /x", "location: /x", "connection: close"), stream(b"data: one\n\n"))
        self.assertEqual(self.read(self.source()), ["one"])

    def test_closed_there(self) -> None:
        """A failure after a redirect is one of the whole attempt."""
        self.serve(moved("http://b.example/"), stream(b"data: one\n\n"))
        self.serve(answer(503), host="b.example")
        source = self.source()
        self.assertEqual((source.ready_state, source.url), ("connecting", "http://b.example/"))
        self.advance(3.0)
        self.assertEqual((self.read(source), source.url), (["one"], "http://a.example/feed"))


class OriginTests(EventSourceCase):
    """What another origin is given."""

    def headers_there(self, first: str, *locations: str, status: int = 302) -> dict[bytes, bytes]:
        """The fields of the last request, where redirects lead from `first` to each of `locations`."""
        source = self.source(first, headers={**SECRETS, "host": "name.example", "x-token": "t"}, tls_opts={"trust_root": self.pem})
        headers = dict(self.peer.requests[-1].headers)
        self.assertEqual(source.url, locations[-1])
        source.close()
        self.advance()
        return headers

    def setUp(self) -> None:
        super().setUp()
        path = Path(self.mktemp()).absolute()
        path.write_bytes(authority().pem)
        self.pem = str(path)

    def serve_at(self, url: str, *makers: MakePeer) -> Any:
        """Let `url` be served so; its endpoint."""
        scheme, _, rest = url.partition("://")
        host, _, port = rest.partition("/")[0].partition(":")
        tls = ServerCreator(authority().issue(host)) if scheme == "https" else None
        return self.serve(*makers, host=host, port=int(port or (443 if tls else 80)), tls=tls)

    def test_same_origin(self) -> None:
        """The same origin is given all of it, whatever the status."""
        for status in STATUSES:
            self.serve_at("http://a.example/", moved("http://A.example:80/x", status), stream())
            headers = self.headers_there("http://a.example/", "http://a.example/x")
            self.assertEqual({name.decode() for name in headers} & set(SECRETS), set(SECRETS))
            self.assertEqual(headers[b"host"], b"name.example")

    def test_other_origins(self) -> None:
        """Another scheme, host or port is given no credentials, nor the name of the first; by any status. The rest it is given."""
        for there in ("https://a.example/", "http://b.example/", "http://a.example:81/"):
            for status in STATUSES:
                self.serve_at(there, stream())
                self.serve_at("http://a.example/", moved(there, status))
                headers = self.headers_there("http://a.example/", there)
                self.assertEqual({name.decode() for name in headers} & set(SECRETS), set())
                self.assertEqual(headers[b"x-token"], b"t")
                self.assertEqual(headers[b"host"].decode(), there.split("/")[2])

    def test_there_and_back(self) -> None:
        """Credentials do not come back by way of another origin; but the next attempt begins at the first URL, with them."""
        self.serve_at("http://b.example/", moved("http://a.example/back"))
        self.serve_at("http://a.example/", moved("http://b.example/"), stream(), moved("http://b.example/"))
        source = self.source("http://a.example/", headers=SECRETS)
        self.assertNotIn(b"authorization", dict(self.peer.requests[-1].headers))
        self.close()
        self.advance(3.0)
        first = [dict(peer.requests[0].headers) for peer in self.servers.peers if b"authorization" in dict(peer.requests[0].headers)]
        self.assertEqual(len(first), 2)
        source.close()

    def test_moved_for_good(self) -> None:
        """Where the URL has moved to another origin for good, no later attempt has credentials."""
        self.serve_at("http://b.example/", stream())
        self.serve_at("http://a.example/", moved("http://b.example/", 301))
        self.source("http://a.example/", headers=SECRETS)
        self.close()
        self.advance(6.0)
        self.assertEqual([b"authorization" in headers for headers in self.requests()], [True, False, False])

    def test_never_from_tls(self) -> None:
        """No redirect leads from TLS to where there is none."""
        for status in STATUSES:
            self.serve_at("https://a.example/", moved("http://a.example/", status))
            source = self.source("https://a.example/", tls_opts={"trust_root": self.pem})
            self.assertIn("TLS", str(self.failed(source.next_event(), EventSourceFailed)))
        self.assertEqual({port for _, port in self.servers.dialled}, {443})

    def test_own_options(self) -> None:
        """An endpoint, a client certificate and a name for TLS are for the first origin only; trust is for all."""
        certificate = Path(self.mktemp()).absolute()
        certificate.write_bytes(authority().issue("client.example").pem)
        dialled: list[tuple[str, int]] = []
        seen: list[gun.Options] = []

        def dial(host: str, port: int, *, options: gun.Options, **given: Any) -> Any:
            seen.append(options)
            if options.endpoint is None:
                dialled.append((host, port))
                given["endpoint"] = self.servers.endpoint(host, port)
            return gun.open(host, port, options=options, **given)

        self.patch(event_source, "dial", dial)
        tls = {"trust_root": self.pem, "client_certificate": str(certificate), "server_name": "a.example"}
        for own_endpoint in (False, True):
            self.serve_at("https://b.example/", stream())
            own = self.serve_at("https://a.example/", moved("https://b.example/"))
            source = self.source("https://a.example/", endpoint=own if own_endpoint else self.servers.endpoint, tls_opts=tls)
            self.assertEqual(source.url, "https://b.example/")
            first, second = (options.tls_opts for options in seen)
            self.assertEqual((first.client_certificate, first.server_name), (str(certificate), "a.example"))
            self.assertEqual((second.client_certificate, second.server_name, second.trust_root), (None, None, self.pem))
            seen.clear()
        self.assertEqual(dialled, [("b.example", 443)])

    def test_option_that_does_not_fit(self) -> None:
        """An option that does not fit where a redirect leads ends the source with that."""
        self.serve_at("https://a.example/", moved("https://b.example/"))
        calls: list[tuple[str, int]] = []

        def endpoint(host: str, port: int) -> Any:
            calls.append((host, port))
            return self.servers.endpoint(host, port) if host == "a.example" else 5

        source = self.source("https://a.example/", endpoint=endpoint, tls_opts={"trust_root": self.pem})
        self.failed(source.next_event(), gun.OptionError)
        self.assertEqual(calls, [("a.example", 443), ("b.example", 443)])

    def test_cookies(self) -> None:
        """A cookie store is asked by itself for each origin."""
        asked: list[str] = []
        store = gun.CookieStore()

        def query(store: object, uri: gun.CookieUri) -> tuple[()]:
            asked.append(uri.host)
            return ()

        self.patch(gun.CookieStore, "query", query)
        self.serve_at("http://b.example/", stream())
        self.serve_at("http://a.example/", moved("http://b.example/"))
        self.source("http://a.example/", cookie_store=store)
        self.assertEqual(asked, ["a.example", "b.example"])

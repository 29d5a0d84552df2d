"""
The architecture, held by a test: floors, cycles, the sans-I/O law of ``wire/``, sizes, and no global reactor.

The floors are drawn in docs/architecture.rst. The package is read with `ast`, never imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = "twisted_gun"

#: Ground first. A module may import from its own floor and from those below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "events", "interfaces", "observations"),
    (
        "headers",
        "responses",
        "atomic",
        "threads",
        "urls",
        "options",
        "options.checks",
        "options.content",
        "options.transports",
        "options.http",
        "options.websocket",
        "options.protocols",
        "options.proxies",
        "options.connection",
        "wire",
        "wire.steps",
        "net",
    ),
    (
        "wire.core",
        "wire.response",
        "wire.ends",
        "wire.frames",
        "wire.hpack",
        "wire.states",
        "wire.waits",
        "wire.windows",
        "cookies",
        "cookies.dates",
        "cookies.domains",
        "cookies.files",
        "cookies.parsing",
        "cookies.receiving",
        "cookies.shelf",
        "cookies.store",
        "cookies.values",
    ),
    ("wire.masking", "wire.deflate", "wire.message", "wire.codings", "wire.decode", "wire.sse"),
    ("wire.content", "wire.exchange", "wire.fields", "wire.handshake", "wire.head", "wire.pipeline", "wire.sending"),
    ("wire.http1", "wire.raw", "wire.socks5", "wire.streams", "wire.ws_session"),
    ("wire.pushes",),
    ("wire.session",),
    ("wire.framing",),
    (
        "wire.http2",
        "wire.websocket",
        "wire.watched",
        "wire.reference",
        "wire.reference.http2",
        "wire.reference.watched",
        "wire.reference.websocket",
    ),
    ("wire.cores",),
    (
        "net.straight",
        "net.tunnel",
        "net.carrier",
        "net.refusals",
        "net.unbuffered",
        "net.trust",
        "net.tls",
        "net.dial",
        "net.timer",
        "receivers",
        "observers",
        "content_handlers",
        "outgoing",
    ),
    ("net.hop", "request", "info"),
    ("net.factory", "net.trace", "net.proxy", "leg", "upgrading"),
    ("net.proxied",),
    ("stream", "pings", "turn", "waiters", "net.watch"),
    ("layer", "verbs", "contents", "jar"),
    ("tunnel",),
    ("route", "waiting", "observed"),
    ("connection",),
    ("opening", "endpoints"),
    ("event_source", "event_source_request", "pool", "pool.checkouts", "pool.info", "pool.member", "pool.members"),
    (
        "origins",
        "origins.asked",
        "origins.identity",
        "origins.line",
        "origins.origin",
    ),
    (
        "agent",
        "agent.expecting",
        "agent.failures",
        "agent.response",
        "service",
        "service",
    ),
    ("",),  # the package itself: the public names
    ("websocket.url", "websocket.retries", "websocket.credentials", "websocket.aws", "websocket.choices", "websocket.message"),
    ("websocket.redirects", "websocket.connect_options", "websocket.response", "websocket.sockets", "websocket.adapter"),
    ("websocket.connection", "websocket.request_options"),
    ("websocket.attempt",),
    ("websocket.by_url",),
    ("websocket",),
    (
        "testing",
        "testing.http2",
        "testing.links",
        "testing.peers",
        "testing.proxies",
        "testing.proxies_http",
        "testing.proxies_http2",
        "testing.proxies_onward",
        "testing.recording",
        "testing.servers",
        "testing.websocket",
        "testing.websocket_frames",
        "testing.world",
    ),
    ("exits", "progress", "demo.server", "demo.telling"),
    (
        "gunclient",
        "gunclient.arguments",
        "gunclient.files",
        "gunclient.health",
        "gunclient.records",
        "gunclient.saved",
    ),
    (
        "gunclient.configuration",
        "gunclient.cookie_file",
        "gunclient.event_id_file",
        "gunclient.output",
        "gunclient.patience",
        "gunclient.settings",
        "gunclient.counts",
        "gunclient.connecting",
        "gunclient.audience",
    ),
    (
        "gunclient.work",
        "gunclient.daemon",
    ),
    ("tap",),
    (
        "scrapy",
        "scrapy.download",
        "scrapy.failures",
        "scrapy.opening",
        "scrapy.peers",
        "scrapy.settings",
        "scrapy.ways",
        "scrapy.websocket",
    ),
    (
        "fetch",
        "demo.proxies",
        "demo.stage",
        "command",
        "command.arguments",
        "command.follow",
        "command.output",
        "command.talk",
        "command.telling",
        "command.typed",
        "command.way",
    ),
    ("demo.http", "demo.http2", "demo.tunnels", "demo.websockets"),
    ("demo",),
    ("__main__",),
)

#: Imports for types only that may go up: an event names the connection and the stream it is about, a stream its connection.
TYPES_ONLY = frozenset(
    {
        ("events", "connection"),
        ("events", "stream"),
        ("interfaces", "cookies"),
        ("observations", "connection"),
        ("observations", "options"),
        ("observations", "stream"),
        ("content_handlers", "stream"),
        ("contents", "route"),
        ("jar", "route"),
        ("receivers", "stream"),
        ("stream", "connection"),
        ("stream", "contents"),
        ("stream", "layer"),
        ("stream", "route"),
        ("stream", "tunnel"),
        ("turn", "stream"),
        ("verbs", "route"),
        ("verbs", "tunnel"),
        ("layer", "route"),
        ("tunnel", "route"),
        ("route", "connection"),
        ("waiting", "connection"),
        ("waiting", "route"),
        ("observed", "connection"),
    }
)

#: What ``wire/`` and whatever it imports must do without: Twisted, zope, clocks and sockets.
IMPURE = frozenset({"twisted", "zope", "OpenSSL", "time", "datetime", "asyncio", "select", "socket", "ssl", "threading"})

#: Whose types stay in ``wire/reference``.
REFERENCE_ONLY = frozenset({"h2", "wsproto"})

MOST_LINES_OF_A_FILE = 600
MOST_LINES_OF_A_FUNCTION = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`module` is the absolute name, `names` what is taken from it; `types_only` where it stands under TYPE_CHECKING."""

    module: str
    names: tuple[str, ...]
    types_only: bool
    in_function: bool


Sources = Mapping[str, str]


def sources_of_package() -> dict[str, str]:
    """Each module of the package, by its name below the package ("" for the package itself), with its source."""
    spec = find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    return {_module_name(path.relative_to(root)): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str) -> list[Import]:
    """Every import statement, wherever it stands."""
    return list(_imports_below(ast.parse(source), types_only=False, in_function=False))


def _imports_below(node: ast.AST, *, types_only: bool, in_function: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(module=alias.name, names=(), types_only=types_only, in_function=in_function)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        names = tuple(alias.name for alias in node.names)
        yield Import(module=module, names=names, types_only=types_only, in_function=in_function)
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        yield from _imports_of_all(node.body, types_only=True, in_function=in_function)
        yield from _imports_of_all(node.orelse, types_only=types_only, in_function=in_function)
    else:
        inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _imports_of_all(ast.iter_child_nodes(node), types_only=types_only, in_function=inside)


def _imports_of_all(nodes: Iterable[ast.AST], *, types_only: bool, in_function: bool) -> Iterator[Import]:
    for node in nodes:
        yield from _imports_below(node, types_only=types_only, in_function=in_function)


def inner_imports(name: str, sources: Sources) -> set[str]:
    """The modules of the package that the module `name` imports, but for those that `TYPES_ONLY` lets it name."""
    found: set[str] = set()
    for one in imports_in(sources[name]):
        targets = {target for target in _targets(one, sources) if not (one.types_only and (name, target) in TYPES_ONLY)}
        found |= targets
    return found


def _targets(one: Import, sources: Sources) -> set[str]:
    if one.module != PACKAGE and not one.module.startswith(f"{PACKAGE}."):
        return set()
    base = one.module.removeprefix(PACKAGE).removeprefix(".")
    within = {name: f"{base}.{name}".removeprefix(".") for name in one.names}
    return {within[name] if within[name] in sources else base for name in one.names} or {base}


def unplaced(sources: Sources) -> list[str]:
    """Modules that stand on no floor."""
    return sorted(set(sources) - {name for floor in FLOORS for name in floor})


def upward_imports(sources: Sources) -> list[str]:
    """Imports from a higher floor, as "from -> to"."""
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    return [
        f"{name} -> {target}"
        for name in sorted(sources)
        for target in sorted(inner_imports(name, sources))
        if floor_of.get(target, len(FLOORS)) > floor_of.get(name, -1)
    ]


def import_cycle(sources: Sources) -> list[str]:
    """The modules of one import cycle, or nothing."""
    graph = {name: inner_imports(name, sources) - {name} for name in sources}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def impure_imports(sources: Sources) -> list[str]:
    """What ``wire/``, or a module it imports, imports of `IMPURE` when the program runs."""
    seen: set[str] = set()
    waiting = [name for name in sources if name == "wire" or name.startswith("wire.")]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(inner_imports(name, sources) & set(sources))
    return sorted(f"{name}: {top}" for name in seen for top in foreign_packages(sources[name]) & IMPURE)


def misplaced_reference(sources: Sources) -> list[str]:
    """Imports of h2 and wsproto outside ``wire/reference``, and the proxies for tests, which speak HTTP/2 as servers."""
    outside = [name for name in sources if not name.startswith(("wire.reference", "testing.proxies_http2"))]
    return sorted(f"{name}: {top}" for name in outside for top in foreign_packages(sources[name]) & REFERENCE_ONLY)


def foreign_packages(source: str) -> set[str]:
    """The top-level names of the packages imported."""
    return {one.module.split(".")[0] for one in imports_in(source)}


def global_reactor_imports(sources: Sources) -> list[str]:
    """Modules that install the reactor by being imported."""
    return sorted({name for name, source in sources.items() for one in imports_in(source) if _takes_reactor(one) and not one.in_function})


def _takes_reactor(one: Import) -> bool:
    return one.module == "twisted.internet.reactor" or (one.module == "twisted.internet" and "reactor" in one.names)


def relative_imports(sources: Sources) -> list[str]:
    """Modules with relative imports, which the other checks would not see."""
    return sorted({name for name, source in sources.items() for one in imports_in(source) if one.module.startswith(".")})


def long_files(sources: Sources) -> list[str]:
    """Files with too many lines."""
    counts = {name: len(source.splitlines()) for name, source in sources.items()}
    return [f"{name}: {count} lines" for name, count in sorted(counts.items()) if count > MOST_LINES_OF_A_FILE]


def long_functions(sources: Sources) -> list[str]:
    """Functions with too many lines, the docstring among them."""
    return [
        f"{name}.{node.name}: {_lines(node)} lines"
        for name, source in sorted(sources.items())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _lines(node) > MOST_LINES_OF_A_FUNCTION
    ]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


class ArchitectureTests(SynchronousTestCase):
    """The package as it stands."""

    def setUp(self) -> None:
        self.sources = sources_of_package()

    def test_every_module_has_a_floor(self) -> None:
        """A new module takes its place in the table before it is used."""
        self.assertIn("errors", self.sources)
        self.assertEqual(unplaced(self.sources), [])

    def test_nothing_imports_upward(self) -> None:
        """A module knows nothing of what is built on it."""
        self.assertEqual(upward_imports(self.sources), [])

    def test_no_import_cycle(self) -> None:
        """Modules can be read, and tested, one after the other."""
        self.assertEqual(import_cycle(self.sources), [])

    def test_wire_is_sans_io(self) -> None:
        """Law 1: ``wire/``, and what it imports, knows neither Twisted nor zope nor a clock."""
        self.assertEqual(impure_imports(self.sources), [])

    def test_reference_cores_keep_their_types(self) -> None:
        """h2 and wsproto are imported by ``wire/reference`` only."""
        self.assertEqual(misplaced_reference(self.sources), [])

    def test_no_global_reactor(self) -> None:
        """Importing the package installs no reactor."""
        self.assertEqual(global_reactor_imports(self.sources), [])

    def test_imports_are_absolute(self) -> None:
        """Imports name the module in full."""
        self.assertEqual(relative_imports(self.sources), [])

    def test_sizes(self) -> None:
        """Files and functions can be read in one go, tests too."""
        self.assertEqual(long_files(self.sources) + long_functions(self.sources), [])
        root = Path(__file__).parent.parent
        others = [path for folder in ("tests", "benchmarks", "examples") for path in (root / folder).rglob("*.py")]
        self.assertIn(Path(__file__), others)
        self.assertEqual(long_files({str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in others}), [])


class ChecksTests(SynchronousTestCase):
    """The checks themselves: each finds what it is for."""

    def test_unplaced(self) -> None:
        """A module that the table does not have is found."""
        self.assertEqual(unplaced({"errors": "", "utils": ""}), ["utils"])

    def test_upward(self) -> None:
        """An import from a higher floor is found in each form, inside a function too."""
        for statement in (
            "import twisted_gun.connection",
            "from twisted_gun.connection import Connection",
            "from twisted_gun import connection",
            "def f():\n    from twisted_gun.connection import Connection",
            "if TYPE_CHECKING:\n    from twisted_gun.connection import Connection",
        ):
            self.assertEqual(upward_imports({"errors": statement, "connection": ""}), ["errors -> connection"], statement)

    def test_package_is_above(self) -> None:
        """The package itself, with its public names, is nothing a module may import from."""
        self.assertEqual(upward_imports({"errors": "from twisted_gun import Options", "": ""}), ["errors -> "])

    def test_downward(self) -> None:
        """An import from below, and one for types that is on the list, are allowed."""
        sources = {
            "events": "if TYPE_CHECKING:\n    from twisted_gun.connection import Connection",
            "connection": "from twisted_gun import events",
        }
        self.assertEqual(upward_imports(sources), [])
        self.assertEqual(import_cycle(sources), [])

    def test_types_only_must_be(self) -> None:
        """What is on the list for types is an upward import where it happens when the program runs."""
        sources = {"events": "from twisted_gun.connection import Connection", "connection": ""}
        self.assertEqual(upward_imports(sources), ["events -> connection"])

    def test_cycle(self) -> None:
        """A cycle within a floor is found."""
        sources = {"net.tls": "import twisted_gun.net.dial", "net.dial": "import twisted_gun.net.tls"}
        self.assertEqual(set(import_cycle(sources)), {"net.tls", "net.dial"})

    def test_impure(self) -> None:
        """An impure import is found in ``wire/`` and in what ``wire/`` imports, and let alone elsewhere."""
        sources = {
            "wire.http1": "from twisted_gun import headers\nimport time",
            "headers": "import zope.interface",
            "net.tls": "import time",
        }
        self.assertEqual(impure_imports(sources), ["headers: zope", "wire.http1: time"])

    def test_reference(self) -> None:
        """h2 is found anywhere but in ``wire/reference``."""
        sources = {"wire.http1": "import h2.events", "wire.reference.http2": "import h2.events"}
        self.assertEqual(misplaced_reference(sources), ["wire.http1: h2"])

    def test_reactor(self) -> None:
        """The global reactor is found at module level and in a class; inside a function it is the caller's choice."""
        sources = {
            "a": "from twisted.internet import defer, reactor",
            "b": "class B:\n    import twisted.internet.reactor",
            "c": "def f():\n    from twisted.internet import reactor",
        }
        self.assertEqual(global_reactor_imports(sources), ["a", "b"])

    def test_relative(self) -> None:
        """A relative import is found."""
        self.assertEqual(relative_imports({"net.tls": "from . import dial", "errors": "import re"}), ["net.tls"])

    def test_long(self) -> None:
        """600 lines of a file and 40 of a function are allowed, one more is not."""
        function = "def f():\n" + "    f()\n" * 39
        self.assertEqual(long_functions({"a": function, "b": function + "    f()\n"}), ["b.f: 41 lines"])
        self.assertEqual(long_files({"a": "\n" * 600, "b": "\n" * 601}), ["b: 601 lines"])

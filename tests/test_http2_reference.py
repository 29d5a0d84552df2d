"""The reference core (hyper-h2) in the place of our own: nothing above the cores can tell them apart."""

from __future__ import annotations

from importlib import import_module

from tests import test_http2_reentrancy
from tests.stage import Http2Case

MODULES = ("connection", "goaway", "life", "pushes", "reentrancy", "streams", "uploads")


class MatrixTests(test_http2_reentrancy.MatrixTests):
    """Every callback with every action."""

    class player(test_http2_reentrancy.Life):  # noqa: N801, as the attribute it is
        """One life."""

        core = "h2"


class ChosenTests(Http2Case):
    """`http2_opts.core`."""

    def test_cores(self) -> None:
        """It says which core there is; ours is the default."""
        for opts, module in (({}, "twisted_gun.wire.http2"), ({"core": "h2"}, "twisted_gun.wire.reference.http2")):
            world = self.up(http2_opts=opts)
            hop = world.connection._route.hop
            assert hop is not None
            self.assertEqual(type(hop.core).__module__, module)


def _cases() -> dict[str, type[Http2Case]]:
    """All cases of HTTP/2, with the reference core."""
    modules = [import_module(f"tests.test_http2_{name}") for name in MODULES]
    cases = [case for module in modules for case in vars(module).values() if isinstance(case, type) and issubclass(case, Http2Case)]
    names = {case: f"{case.__module__.rpartition('_')[2].title()}{case.__name__}" for case in cases if case is not Http2Case}
    # A hundred servers that go away will do here.
    own = {"core": "h2", "restarts": 100, "__module__": __name__}
    return {name: type(name, (case,), {**own, "__doc__": case.__doc__}) for case, name in names.items()}


globals().update(_cases())

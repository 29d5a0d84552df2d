"""
The command line: ``python -m twisted_gun demo`` and ``python -m twisted_gun get URL``, also called ``twisted-gun``.

It knows arguments, the process's streams and its exit; the work is in `demo` and `fetch.py`.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred

from twisted_gun import __version__, demo
from twisted_gun.exits import Exit
from twisted_gun.fetch import Order, fetch

__all__ = ["main"]

_Work = Callable[[Any, dict[str, Any]], Coroutine[Any, Any, int]]

_EPILOG = """\
exit status of get:
  0   all is well             1   any other failure
  2   bad usage               3   a URL or option that cannot be used
  5   proxy's name not found  6   name not found
  7   no connection           97  proxy refused
  18  answer was cut off      22  status of 400 or more, with --fail
  23  cannot write            26  cannot read the file of -d @FILE
  28  timed out               35  TLS failed
  52  no answer               60  certificate refused
  92  stream reset            130 interrupted
  141 the reader of the output has gone

Redirects are not followed.
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Do what `argv` says, by default the process's arguments, and exit."""
    arguments = vars(_parser().parse_args(argv))
    work: _Work = arguments.pop("work")
    try:
        task.react(_until_interrupted, (work, arguments))
    except KeyboardInterrupt:  # before the reactor took over the signal
        sys.exit(Exit.INTERRUPTED)


async def _until_interrupted(reactor: Any, work: _Work, arguments: dict[str, Any]) -> None:
    working = Deferred.fromCoroutine(work(reactor, arguments))
    ended: Deferred[None] = Deferred()

    def interrupt() -> Deferred[None]:
        # A signal stops the reactor, but not before the work has cleared away what it leaves half done.
        working.cancel()
        return ended

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    try:
        status = await working
    except CancelledError:
        status = Exit.INTERRUPTED
    finally:
        ended.callback(None)
    if status == Exit.PIPE_CLOSED:
        # Python would complain of what it cannot flush at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(int(status))


async def _get(reactor: Any, arguments: dict[str, Any]) -> int:
    order = Order(**{**arguments, "headers": tuple(arguments["headers"]), "proxies": tuple(arguments["proxies"])})
    return await fetch(reactor, order, sys.stdout.buffer, sys.stderr)


async def _demo(reactor: Any, arguments: dict[str, Any]) -> int:
    return await demo.run(reactor, sys.stdout)


# The arguments.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twisted-gun", description="An HTTP client for Twisted.")
    parser.add_argument("--version", action="version", version=f"twisted_gun {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    told = commands.add_parser("demo", help="tell what the package can do, on a server of its own; exit status 0 if it can")
    told.set_defaults(work=_demo)
    got = commands.add_parser(
        "get", help="get a URL", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    got.set_defaults(work=_get)
    _add_request(got)
    _add_connection(got)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="an http or https URL")
    add("-o", "--output", metavar="FILE", help="write to FILE, which is replaced when all has come; - for the standard output")
    add(
        "-H",
        "--header",
        dest="headers",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="send this header; may be repeated",
    )
    add("-X", "--method", help="the method, by default GET, or POST with --data")
    add("-d", "--data", help="the content of the request, or @FILE to take it from a file")
    add("-i", "--include", action="store_true", help="write the head of the response, too")
    add("-v", "--verbose", action="store_true", help="tell on stderr what happens")
    add("-f", "--fail", action="store_true", help="a status of 400 or more is a failure, and its content is not written")


def _add_connection(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cacert", metavar="PATH", help="trust the authorities in this PEM file or folder, and no others")
    add("--cert", metavar="FILE", help="a PEM file with the client's certificate, its chain and its key")
    add("--insecure", action="store_true", help="accept any certificate")
    add("--timeout", metavar="SECONDS", type=_seconds, default=60.0, help="the longest silence of the server (default: 60)")
    add(
        "--connect-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=10.0,
        help="for each of the lookup of the name, connecting, and the TLS handshake (default: 10)",
    )
    add("--retry", metavar="N", type=_count, default=0, help="try N more times to connect (default: 0)")
    protocol = parser.add_mutually_exclusive_group()
    protocol.add_argument(
        "--http2",
        dest="protocol",
        action="store_const",
        const="http2",
        help="speak HTTP/2 only; over http without asking the server whether it does (prior knowledge)",
    )
    protocol.add_argument("--http1.1", dest="protocol", action="store_const", const="http", help="speak HTTP/1.1 only")
    add(
        "--proxy",
        dest="proxies",
        metavar="URL",
        action="append",
        default=[],
        help="go through this http, https or socks5 proxy; may be repeated: each is reached through the one before it; "
        "env for those of the environment",
    )
    add("--unix", metavar="PATH", help="connect to this UNIX socket; the URL's host still names the server")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError(f"expected 'Name: value', not {text!r}")
    return name, value.strip(" \t")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, a number above 0, not {text!r}")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number >= 0, not {text!r}")
    return int(text)


if __name__ == "__main__":
    main()

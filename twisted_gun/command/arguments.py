"""
What may be typed: the commands, their options, and the exit statuses that ``--help`` shows.

It knows no command's work: `parse` gives the name of the command, and its options by the names of the fields of its order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

from twisted_gun import __version__

__all__ = ["parse"]

_STATUSES = """\
exit status:
  0   all is well             1   any other failure
  2   bad usage               3   a URL or option that cannot be used
  5   proxy's name not found  6   name not found
  7   no connection           97  proxy refused
  18  answer was cut off      22  {refused}
  23  cannot write            26  cannot read {read}
  28  timed out               35  TLS failed
  52  no answer               60  certificate refused
  92  stream reset            130 interrupted
  141 the reader of the output has gone
"""

_GET = _STATUSES.format(refused="status of 400 or more, with --fail", read="the file of -d @FILE") + "\nRedirects are not followed.\n"
_WS = (
    _STATUSES.format(refused="the server answered otherwise", read="the input")
    + """\
  101 to 114  the server closed it by 1001 to 1014
  106 it was lost             120 closed by another code

A Close by 1000, or without a code, is 0. Redirects are not followed.
"""
)
_SSE = _STATUSES.format(refused="the server answered otherwise", read="a file") + "\nRedirects are followed, within http or https.\n"


def parse(argv: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    """The command and its options; exits where they cannot be understood, and where help is asked for."""
    arguments = vars(_parser().parse_args(argv))
    for name, value in arguments.items():
        if isinstance(value, list):
            arguments[name] = tuple(value)
    return arguments.pop("command"), arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twisted-gun", description="An HTTP client for Twisted.")
    parser.add_argument("--version", action="version", version=f"twisted_gun {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    _add_get(_command(commands, "get", "get a URL", _GET))
    _add_ws(_command(commands, "ws", "talk over a websocket, line by line", _WS))
    _add_sse(_command(commands, "sse", "follow the events of a server, one a line", _SSE))
    commands.add_parser("demo", help="tell what the package can do, on a server of its own; exit status 0 if it can")
    return parser


def _command(commands: Any, name: str, what: str, epilog: str) -> Any:
    return commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip


# The commands.


def _add_get(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="an http or https URL")
    add("-o", "--output", metavar="FILE", help="write to FILE, which is replaced when all has come; - for the standard output")
    add("-X", "--method", help="the method, by default GET, or POST with --data")
    add("-d", "--data", help="the content of the request, or @FILE to take it from a file")
    add("-i", "--include", action="store_true", help="write the head of the response, too")
    add("-f", "--fail", action="store_true", help="a status of 400 or more is a failure, and its content is not written")
    add("--compressed", action="store_true", help="let the answer come compressed, and write it as it was before")
    _add_common(parser, http2="speak HTTP/2 only; over http without asking the server whether it does (prior knowledge)")
    _add_retry(parser, 0, "try N more times to connect (default: 0)")


def _add_ws(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="a ws or wss URL")
    add("--subprotocol", dest="subprotocols", metavar="NAME", action="append", default=[], help="offer it; may be repeated, best first")
    add("--compress", action="store_true", help="offer to compress messages (permessage-deflate)")
    add("--ping", metavar="SECONDS", type=_seconds, help="ask so often whether the server is there, and give up where it is not")
    add("--binary", action="store_true", help="send lines as messages of bytes, and write such messages as they are, not in hexadecimal")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--linger", metavar="SECONDS", type=_seconds, default=0.0, help="go on receiving so long after the end of the input (default: 0)"
    )
    how.add_argument("--listen", action="store_true", help="send nothing, and do not look at the input")
    _add_common(parser, http2="ask over HTTP/2 (RFC 8441), not HTTP/1.1")
    _add_retry(parser, 0, "try N more times to connect (default: 0)")


def _add_sse(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="an http or https URL")
    add("--json", action="store_true", help="write each event as a line of JSON, with event, data and id")
    add("--last-event-id", metavar="ID", default="", help="go on after this event")
    add("--max", dest="most", metavar="N", type=_positive, help="end after N events")
    add("--wait", metavar="SECONDS", type=_seconds, help="wait so long before asking again, until the server says how long (default: 3)")
    add("--idle", metavar="SECONDS", type=_seconds, help="give a stream up that brings nothing for so long, and ask again")
    add("--compressed", action="store_true", help="let events come compressed")
    _add_common(parser, http2="speak HTTP/2 only; over http without asking the server whether it does (prior knowledge)")
    _add_retry(parser, None, "give up when N more attempts have failed in a row (default: never)")


# What they have in common.


def _add_common(parser: argparse.ArgumentParser, *, http2: str) -> None:
    add = parser.add_argument
    add(
        "-H", "--header", dest="headers", metavar="'NAME: VALUE'", type=_header, action="append", default=[],
        help="send this header; may be repeated",
    )  # fmt: skip
    add("-v", "--verbose", action="store_true", help="tell on stderr what happens, as it does")
    protocol = parser.add_mutually_exclusive_group()
    protocol.add_argument("--http2", dest="protocol", action="store_const", const="http2", help=http2)
    protocol.add_argument("--http1.1", dest="protocol", action="store_const", const="http", help="speak HTTP/1.1 only")
    add(
        "--proxy", dest="proxies", metavar="URL", action="append", default=[],
        help="go through this http, https or socks5 proxy; may be repeated: each is reached through the one before it; "
        "env for those of the environment",
    )  # fmt: skip
    add("--unix", metavar="PATH", help="connect to this UNIX socket; the URL's host still names the server")
    add("--cacert", metavar="PATH", help="trust the authorities in this PEM file or folder, and no others")
    add("--cert", metavar="FILE", help="a PEM file with the client's certificate, its chain and its key")
    add("--insecure", action="store_true", help="accept any certificate")
    add("--timeout", metavar="SECONDS", type=_seconds, default=60.0, help="the longest wait for the server (default: 60)")
    add(
        "--connect-timeout", metavar="SECONDS", type=_seconds, default=10.0,
        help="for each of the lookup of the name, connecting, and the TLS handshake (default: 10)",
    )  # fmt: skip


def _add_retry(parser: argparse.ArgumentParser, default: int | None, what: str) -> None:
    parser.add_argument("--retry", metavar="N", type=_count, default=default, help=what)


# Values.


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


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, not {text!r}")
    return int(text)

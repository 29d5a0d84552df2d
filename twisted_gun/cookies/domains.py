"""
Hosts, domains and paths, and how they match (RFC 6265bis sections 5.1.2 to 5.1.4); public suffixes.

The list of public suffixes is read when it is first asked, which takes a moment; it is never read where no cookie has a Domain.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from ipaddress import IPv6Address
from typing import Final

from publicsuffixlist import PublicSuffixList

from twisted_gun.headers import ascii_name

__all__ = [
    "canonical_host",
    "default_path",
    "domain_match",
    "is_address",
    "is_public_suffix",
    "parent_domains",
    "path_match",
    "paths_meant",
    "registrable_domain",
]

_HOST_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_UNRESERVED = re.compile(r"%(2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AaFf]|7[0-9AaEe])")
_LAST_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: Of a host name, in ASCII; and of one in Unicode, which is mapped before it is measured.
_LONGEST_NAME: Final = 253
_LONGEST_GIVEN: Final = 1024


@lru_cache(maxsize=1024)
def canonical_host(host: str) -> str | None:
    """
    `host` in the one form that hosts are compared in (section 5.1.2): lower case, A-labels, no dot at its end; None for what is no host.

    Addresses of IPv6 are in their shortest form, without brackets and zone. Labels that IDNA 2008 would refuse, as emoji have them, or
    ``r3---sn``, are let through, for there are such hosts.
    """
    if not host or len(host) > _LONGEST_GIVEN:
        return None
    name = host.lower().removeprefix("[").removesuffix("]")
    try:
        if ":" in name:
            return str(IPv6Address(name.partition("%")[0]))
        # "Convert each U-label to an A-label"
        name = ascii_name(name.removesuffix(".")).lower()
    except ValueError:
        return None
    return name if len(name) <= _LONGEST_NAME and _HOST_NAME.fullmatch(name) else None


def is_address(host: str) -> bool:
    """
    Whether a canonical `host` is an IP address.

    So is whatever ends in a number, as in URLs: ``127.1`` and ``0x7f.1`` are addresses to many a resolver.
    """
    return ":" in host or _LAST_NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def domain_match(host: str, domain: str) -> bool:
    """Whether `host` is `domain`, or within it (section 5.1.3); both are to be canonical. Gun's ``gun_cookies:domain_match/2``."""
    # "The domain string and the string are identical."
    if host == domain:
        return True
    # "The domain string is a suffix of the string. The last character of the string that is not included in the domain string is a
    # %x2E (".") character. The string is a host name (i.e., not an IP address)."
    return bool(domain) and host.endswith(domain) and host[-len(domain) - 1] == "." and not is_address(host)


def parent_domains(host: str) -> list[str]:
    """The domains that `host` is within, the nearest first; none for an address."""
    if is_address(host):
        return []
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels))]


def is_public_suffix(domain: str) -> bool:
    """Whether anybody may register names below a canonical `domain`; so it is of one label too, where the list does not have it."""
    return not is_address(domain) and _registrable(domain) is None


def registrable_domain(host: str) -> str | None:
    """The name that was registered for `host`: its public suffix and one label more; None where there is none."""
    name = canonical_host(host)
    return None if name is None or is_address(name) else _registrable(name)


@lru_cache(maxsize=1024)
def _registrable(domain: str) -> str | None:
    return _suffixes().privatesuffix(domain)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def default_path(path: str) -> str:
    """The Path of a cookie that came without one, from the path of the request (section 5.1.4)."""
    # "If the uri-path is empty or if the first character of the uri-path is not a %x2F ("/") character, output %x2F ("/")"
    if not path.startswith("/"):
        return "/"
    # "If the uri-path contains no more than one %x2F ("/") character, output %x2F ("/")"; else "the characters of the uri-path from
    # the first character up to, but not including, the right-most %x2F ("/")."
    return path.rpartition("/")[0] or "/"


def paths_meant(path: str) -> tuple[str, ...]:
    """
    The path of a request as it is, and as it is meant, where it differs: without what is percent-encoded needlessly.

    RFC 3986 section 6.2.2.2: such URIs "should be normalized by decoding any percent-encoded octet that corresponds to an unreserved
    character". Section 5.1.4 compares paths as they are; web-platform-tests and Gun want the other. The Path of a cookie stays as it is.
    """
    meant = _UNRESERVED.sub(lambda match: chr(int(match[1], 16)), path) if "%" in path else path
    return (path,) if meant == path else (path, meant)


def path_match(request_path: str, cookie_path: str) -> bool:
    """Whether `request_path` is `cookie_path`, or below it (section 5.1.4). Gun's ``gun_cookies:path_match/2``."""
    # "The cookie-path and the request-path are identical."
    if request_path == cookie_path:
        return True
    # "The cookie-path is a prefix of the request-path, and the last character of the cookie-path is %x2F ("/")", or "the first
    # character of the request-path that is not included in the cookie-path is a %x2F ("/") character."
    within = bool(cookie_path) and request_path.startswith(cookie_path)
    return within and (cookie_path.endswith("/") or request_path[len(cookie_path)] == "/")

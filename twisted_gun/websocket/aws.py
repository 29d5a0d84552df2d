"""
AWS Signature Version 4, by botocore, which is asked for only where it is used: the extra ``twisted_gun[aws]``.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from twisted_gun.errors import OptionError
from twisted_gun.events import Headers

__all__ = ["AwsSignature", "check_aws", "sign"]

#: How a header is put where it may not be one; never with control characters, for `headers.normalise` has seen them.
_ENCODING = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSignature:
    """
    What a request is signed with: option ``aws_sigv4``.

    `datetime` is when it is said to be signed, None for now; `session_token` belongs to temporary credentials.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    service: str
    region: str = "us-east-1"
    datetime: datetime | None = None
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("access_key_id", "secret_access_key", "service", "region"):
            _check(name, isinstance(getattr(self, name), str) and getattr(self, name).isascii(), "a str of ASCII")
        token, when = self.session_token, self.datetime
        _check("session_token", token is None or (isinstance(token, str) and token.isascii()), "a str of ASCII, or None")
        aware = isinstance(when, datetime) and when.utcoffset() is not None
        _check("datetime", when is None or aware, "a datetime with its zone, or None")


def check_aws(given: object) -> AwsSignature | None:
    """`given` as `AwsSignature`; raises `OptionError`, also where botocore is not installed."""
    if given is None or isinstance(given, AwsSignature):
        return given
    if not isinstance(given, Mapping):
        raise OptionError("aws_sigv4", "a dict, or None")
    known = {each.name for each in fields(AwsSignature)}
    for name in given:
        if name not in known:
            raise OptionError(f"aws_sigv4.{name}", f"one of the options {', '.join(sorted(known))}")
    for name in ("access_key_id", "secret_access_key", "service"):
        if name not in given:
            raise OptionError(f"aws_sigv4.{name}", "to be given")
    _botocore("auth")
    return AwsSignature(**given)


def sign(signature: AwsSignature, method: str, url: str, headers: Headers, body: bytes = b"") -> Headers:
    """`headers`, ``host`` among them, with those of the signature: it covers method, http(s) `url`, all `headers` and `body`."""
    auth, awsrequest, credentials = _botocore("auth"), _botocore("awsrequest"), _botocore("credentials")
    keys = credentials.Credentials(signature.access_key_id, signature.secret_access_key, signature.session_token)
    signer = (auth.S3SigV4Auth if signature.service == "s3" else auth.SigV4Auth)(keys, signature.service, signature.region)
    added = _added_headers(signature, body)
    names = {name for name, _ in added}
    kept = tuple(pair for pair in headers if pair[0] not in names and pair[0] != b"authorization")
    request = awsrequest.AWSRequest(method=method, url=url, data=body)
    for name, value in (*kept, *added):
        request.headers.add_header(name.decode("ascii"), value.decode(_ENCODING, "surrogateescape"))
    request.context["timestamp"] = dict(added)[b"x-amz-date"].decode("ascii")
    return (*kept, *added, (b"authorization", _authorization(signer, request)))


def _authorization(signer: Any, request: Any) -> bytes:
    # Piece by piece, and not by add_auth, which takes no time but the present, and logs what it signs, the token among it.
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signed = signer.signed_headers(signer.headers_to_sign(request))
    value = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={signed}, Signature={signature}"
    return value.encode("ascii")


def _added_headers(signature: AwsSignature, body: bytes) -> Headers:
    when = (signature.datetime or datetime.now(UTC)).astimezone(UTC)
    added = [(b"x-amz-date", when.strftime("%Y%m%dT%H%M%SZ").encode("ascii"))]
    if signature.session_token is not None:
        added.append((b"x-amz-security-token", signature.session_token.encode("ascii")))
    if signature.service == "s3":
        added.append((b"x-amz-content-sha256", hashlib.sha256(body).hexdigest().encode("ascii")))
    return tuple(added)


def _botocore(module: str) -> Any:
    try:
        return import_module(f"botocore.{module}")
    except ImportError:
        raise OptionError("aws_sigv4", "botocore, which signs, to be installed: pip install 'twisted_gun[aws]'") from None


def _check(name: str, allowed: bool, expected: str) -> None:
    if not allowed:
        raise OptionError(f"aws_sigv4.{name}", expected)

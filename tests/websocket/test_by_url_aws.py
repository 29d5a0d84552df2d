"""`twisted_gun.websocket.aws`: signatures, held against those that botocore makes by itself."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import OptionError
from twisted_gun.websocket.aws import AwsSignature, check_aws, sign

WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
#: Those of the documentation of AWS.
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "datetime": WHEN}
TOKEN = "t0ken"


def made_by_botocore(service: str, url: str, headers: dict[str, str], method: str, body: bytes, token: str | None) -> dict[str, str]:
    """The headers after botocore's own `add_auth`, at `WHEN`."""
    botocore: list[Any] = [import_module(f"botocore.{name}") for name in ("auth", "awsrequest", "credentials")]
    auth, awsrequest, credentials = botocore
    keys = credentials.Credentials(KEYS["access_key_id"], KEYS["secret_access_key"], token)
    signer = (auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth)(keys, service, "us-east-1")
    request = awsrequest.AWSRequest(method=method, url=url, data=body, headers=headers)
    original, auth.get_current_datetime = auth.get_current_datetime, lambda: WHEN
    try:
        signer.add_auth(request)
    finally:
        auth.get_current_datetime = original
    return {name.lower(): value for name, value in request.headers.items()}


class SignTests(SynchronousTestCase):
    """What a signed request looks like."""

    if find_spec("botocore") is None:
        skip = "botocore is not installed"

    def signed(
        self, service: str, url: str, headers: dict[str, str], method: str = "GET", body: bytes = b"", **options: Any
    ) -> dict[str, str]:
        signature = check_aws({**KEYS, "service": service, **options})
        assert signature is not None
        fields = tuple((name.encode(), value.encode()) for name, value in headers.items())
        return {name.decode(): value.decode() for name, value in sign(signature, method, url, fields, body)}

    def test_as_botocore(self) -> None:
        """Every header is what botocore makes it: for paths and queries that need encoding, for POST, for S3, for temporary keys."""
        for service in ("execute-api", "iotdevicegateway", "s3"):
            for method, path, body in (("GET", "/mqtt", b""), ("GET", "/a%20b//c/?z=1&a=2&a=%2B", b""), ("POST", "/x", b"content")):
                for token in (None, TOKEN):
                    headers = {"host": "example.org", "x-custom": "  a   b ", "cookie": "a=b"}
                    url = f"https://example.org{path}"
                    expected = made_by_botocore(service, url, headers, method, body, token)
                    made = self.signed(service, url, headers, method, body, session_token=token)
                    self.assertEqual(made, expected)
                    self.assertIn("Signature=", made["authorization"])

    def test_vanilla(self) -> None:
        """The first sample of AWS's test suite for signatures."""
        made = self.signed("service", "https://example.amazonaws.com/", {"host": "example.amazonaws.com"})
        self.assertEqual(made["x-amz-date"], "20150830T123600Z")
        self.assertEqual(
            made["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        )

    def test_region(self) -> None:
        """Another region makes another signature."""
        url, headers = "https://example.org/", {"host": "example.org"}
        made = self.signed("service", url, headers, region="eu-west-1")
        self.assertIn("/eu-west-1/service/", made["authorization"])
        self.assertNotEqual(made, self.signed("service", url, headers))

    def test_zone(self) -> None:
        """A datetime of another zone is the same moment."""
        url, headers = "https://example.org/", {"host": "example.org"}
        elsewhere = WHEN.astimezone(timezone(timedelta(hours=5)))
        self.assertEqual(self.signed("service", url, headers, datetime=elsewhere), self.signed("service", url, headers))

    def test_now(self) -> None:
        """Without a datetime it is signed for now."""
        before = datetime.now(UTC).replace(microsecond=0)
        made = self.signed("service", "https://example.org/", {"host": "example.org"}, datetime=None)
        when = datetime.strptime(made["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        self.assertTrue(before <= when <= datetime.now(UTC))

    def test_replaced(self) -> None:
        """An authorization header that was there gives way, and is not signed."""
        headers = {"host": "example.org", "authorization": "Basic x"}
        made = self.signed("service", "https://example.org/", headers)
        self.assertEqual(made, self.signed("service", "https://example.org/", {"host": "example.org"}))

    def test_not_logged(self) -> None:
        """Nothing of what is signed goes to a log, as it does where botocore does all of it."""
        records: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("botocore")
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        self.addCleanup(logger.removeHandler, handler)
        self.addCleanup(logger.setLevel, logging.NOTSET)
        url, headers = "https://example.org/", {"host": "example.org"}
        self.signed("service", url, headers, session_token=TOKEN)
        self.assertEqual(records, [])
        made_by_botocore("service", url, headers, "GET", b"", TOKEN)
        self.assertTrue(any(TOKEN in record for record in records))


class OptionTests(SynchronousTestCase):
    """Option ``aws_sigv4``."""

    def test_refused(self) -> None:
        """Missing, unknown and bad options are refused by name, and no value is shown."""
        self.patch(sys.modules["twisted_gun.websocket.aws"], "_botocore", lambda module: None)
        given = {**KEYS, "service": "s3"}
        for name, options in (
            ("aws_sigv4", [("service", "s3")]),
            ("aws_sigv4.service", KEYS),
            ("aws_sigv4.secret_access_key", {"access_key_id": "a", "service": "s3"}),
            ("aws_sigv4.secret", {**given, "secret": "x"}),
            ("aws_sigv4.secret_access_key", {**given, "secret_access_key": b"wJalr"}),
            ("aws_sigv4.region", {**given, "region": None}),
            ("aws_sigv4.session_token", {**given, "session_token": 5}),
            ("aws_sigv4.datetime", {**given, "datetime": datetime(2015, 8, 30)}),  # noqa: DTZ001 - which is refused
            ("aws_sigv4.datetime", {**given, "datetime": "2015-08-30"}),
        ):
            error = self.assertRaises(OptionError, check_aws, options)
            self.assertEqual(error.option, name)
            self.assertNotIn("wJalr", str(error))
        self.assertIsNone(check_aws(None))

    def test_not_shown(self) -> None:
        """Keys and tokens are not shown."""
        shown = repr(AwsSignature(**KEYS, service="s3", session_token=TOKEN))  # type: ignore[arg-type]
        for secret in (KEYS["access_key_id"], KEYS["secret_access_key"], TOKEN):
            self.assertNotIn(secret, shown)

    def test_missing_botocore(self) -> None:
        """Without botocore the option is refused, with what to install."""
        self.patch(sys, "modules", {name: module for name, module in sys.modules.items() if not name.startswith("botocore")})
        sys.modules["botocore.auth"] = None  # type: ignore[assignment]
        error = self.assertRaises(OptionError, check_aws, {**KEYS, "service": "s3"})
        self.assertIn("twisted_gun[aws]", str(error))

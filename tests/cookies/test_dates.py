"""RFC 6265bis section 5.1.1: the cookie-date."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.cookies.dates import parse_cookie_date

YEARS = st.datetimes(min_value=datetime(1601, 1, 1), max_value=datetime(9999, 12, 31))  # noqa: DTZ001 - hypothesis wants none


def date(text: str) -> datetime | None:
    """What `text` means."""
    time = parse_cookie_date(text.encode("latin-1"))
    return None if time is None else datetime.fromtimestamp(time, UTC)


class DateTests(SynchronousTestCase):
    """What is a date, and which."""

    def test_order(self) -> None:
        """The parts come in any order, with any delimiters; of each the first counts."""
        wanted = datetime(2030, 2, 3, 4, 5, 6, tzinfo=UTC)
        for text in (
            "Sun, 03 Feb 2030 04:05:06 GMT",
            "3 February 2030 4:5:6",
            "4:5:6 3 Feb 2030",
            "Feb/3/2030;4:5:6",
            "2030 FEB 3 04:05:06",
            "3 feb 30 4:5:6",
            "3 Feb 2030 4:5:6 1:1:1 7 Mar 2040",
            "3rd Februar 2030th 4:5:6pm",
            "\t~3~Feb{2030}4:5:6!",
        ):
            self.assertEqual(date(text), wanted, text)

    def test_two_digits(self) -> None:
        """Years of two digits: "greater than or equal to 70 and less than or equal to 99", those of 1900; 0 to 69, of 2000."""
        for digits, year in (("70", 1970), ("99", 1999), ("00", 2000), ("69", 2069)):
            self.assertEqual(date(f"1 Jan {digits} 0:0:0"), datetime(year, 1, 1, tzinfo=UTC), digits)

    def test_limits(self) -> None:
        """ "Abort this algorithm and fail to parse the cookie-date if": each limit, at it and beyond."""
        for good, bad in (
            ("1 Jan 2030 0:0:0", "0 Jan 2030 0:0:0"),
            ("31 Jan 2030 0:0:0", "32 Jan 2030 0:0:0"),
            ("28 Feb 2030 0:0:0", "29 Feb 2030 0:0:0"),
            ("29 Feb 2028 0:0:0", "30 Feb 2028 0:0:0"),
            ("1 Jan 1601 0:0:0", "1 Jan 1600 0:0:0"),
            ("1 Jan 9999 0:0:0", "1 Jan 10000 0:0:0"),
            ("1 Jan 2030 23:0:0", "1 Jan 2030 24:0:0"),
            ("1 Jan 2030 0:59:0", "1 Jan 2030 0:60:0"),
            ("1 Jan 2030 0:0:59", "1 Jan 2030 0:0:60"),
        ):
            self.assertIsNotNone(date(good), good)
            self.assertIsNone(date(bad), bad)

    def test_missing(self) -> None:
        """ "at least one of the found-day-of-month, found-month, found-year, or found-time flags is not set" """
        for text in (
            "",
            " ",
            "Feb 2030 4:5:6",
            "3 2030 4:5:6",
            "3 Feb 4:5:6",
            "3 Feb 2030",
            "3 Feb 2030 4:5",
            "3 Feb 203x 4:5:006",
            "3 Feb 100 4:5:6",
        ):
            self.assertIsNone(date(text), text)

    def test_digits(self) -> None:
        """A token begins with its digits: one with more of them is not the beginning of a longer number."""
        self.assertIsNone(date("123 Feb 2030 4:5:6"))
        self.assertIsNone(date("3 Feb 20300 4:5:6"))
        self.assertIsNone(date("3 Feb 2030 4:5:678"))
        self.assertEqual(date("3x Feb 2030x9 4:5:6x7"), datetime(2030, 2, 3, 4, 5, 6, tzinfo=UTC))

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(YEARS)
    def test_any_date(self, moment: datetime) -> None:
        """Each date of the calendar is read as it was written."""
        moment = moment.replace(microsecond=0, tzinfo=UTC)
        text = f"{moment.day:02} {moment:%b} {moment.year:04} {moment:%H:%M:%S} GMT"
        self.assertEqual(date(text), moment)

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.one_of(st.binary(max_size=100), st.text("0123456789: janfebdec;-", max_size=60).map(str.encode)))
    def test_any_bytes(self, text: bytes) -> None:
        """Whatever it is, it is a time or none."""
        time = parse_cookie_date(text)
        if time is not None:
            self.assertTrue(datetime(1601, 1, 1, tzinfo=UTC).timestamp() <= time < datetime(9999, 12, 31, tzinfo=UTC).timestamp() + 86400)

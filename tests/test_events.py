"""`twisted_gun.events`: frozen values that do not show credentials."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun import events
from twisted_gun.errors import GunError, StreamClosed
from twisted_gun.events import (
    Binary,
    Close,
    Data,
    Down,
    Error,
    Inform,
    Notify,
    Ping,
    Pong,
    Push,
    Response,
    Sse,
    SseEvent,
    Text,
    Trailers,
    TunnelUp,
    Up,
    Upgrade,
    Ws,
)
from twisted_gun.interfaces import IReceiver

STREAM: Any = "stream"
CONNECTION: Any = "connection"
HEADERS = ((b"x", b"y"),)

EVENTS: list[Any] = [
    Up(connection=CONNECTION, protocol="http"),
    Down(connection=CONNECTION, protocol="http", reason=None, killed_streams=(), unprocessed_streams=(STREAM,)),
    Notify(connection=CONNECTION, type="ping_ack", info=1),
    Error(connection=CONNECTION, stream=STREAM, reason=StreamClosed("gone")),
    Inform(stream=STREAM, status=103, headers=HEADERS),
    Response(stream=STREAM, fin=False, status=200, headers=HEADERS),
    Data(stream=STREAM, fin=False, data=b"hello"),
    Trailers(stream=STREAM, headers=HEADERS),
    Push(stream=STREAM, pushed_stream="pushed", method=b"GET", uri=b"http://example.org/a", headers=HEADERS),  # type: ignore[arg-type]
    Upgrade(stream=STREAM, protocols=(b"echo",), headers=HEADERS),
    TunnelUp(connection=CONNECTION, stream=STREAM, protocol="http2"),
    Ws(stream=STREAM, frame=Text("hello")),
    Sse(stream=STREAM, event=SseEvent(data="hello", last_event_id="7")),
]
FRAMES: list[Any] = [Text("x"), Binary(b"x"), Ping(b"x"), Pong(b"x"), Close(1000, "x")]


class ValueTests(SynchronousTestCase):
    """Events as values."""

    def test_all(self) -> None:
        """These are all there are."""
        self.assertEqual({type(event) for event in EVENTS}, set(get_args(events.Event)))
        self.assertEqual({type(frame) for frame in FRAMES}, set(get_args(events.Frame)))
        others = {"Event", "Frame", "Headers", "SseEvent", "text_event", "ws_event"}
        self.assertEqual({type(value).__name__ for value in (*EVENTS, *FRAMES)} | others, set(events.__all__))

    def test_frames(self) -> None:
        """Frames are frozen, and equal only within a kind; what is left out of a control frame is empty."""
        for frame in FRAMES:
            self.assertRaises(FrozenInstanceError, setattr, frame, fields(frame)[0].name, None)
            self.assertEqual([frame == other for other in FRAMES].count(True), 1)
        self.assertEqual((Ping(), Pong(), Close()), (Ping(b""), Pong(b""), Close(None, "")))

    def test_made_quickly(self) -> None:
        """The short ways make what the long one does."""
        self.assertEqual(events.text_event(STREAM, "x"), Ws(stream=STREAM, frame=Text("x")))
        self.assertEqual(events.ws_event(STREAM, Binary(b"x")), Ws(stream=STREAM, frame=Binary(b"x")))
        self.assertEqual(repr(events.text_event(STREAM, "x")), "Ws(stream='stream', frame=Text(text='x'))")
        self.assertTrue(Ws(stream=STREAM, frame=Close()).fin)

    def test_frozen(self) -> None:
        """No field can be set, and none added."""
        for event in EVENTS:
            for field in fields(event):
                self.assertRaises(FrozenInstanceError, setattr, event, field.name, None)
            self.assertRaises((FrozenInstanceError, AttributeError, TypeError), setattr, event, "another", None)
            self.assertFalse(hasattr(event, "__dict__"))

    def test_keywords_only(self) -> None:
        """Fields are given by name."""
        for event in EVENTS:
            self.assertRaises(TypeError, type(event), *[None] * len(fields(event)))

    def test_equal(self) -> None:
        """Equal where all fields are."""
        self.assertEqual(Data(stream=STREAM, fin=True, data=b"x"), Data(stream=STREAM, fin=True, data=b"x"))
        self.assertNotEqual(Data(stream=STREAM, fin=True, data=b"x"), Data(stream=STREAM, fin=False, data=b"x"))

    def test_fin(self) -> None:
        """What ends a stream says so."""
        fins = {type(event).__name__: event.fin for event in EVENTS if hasattr(event, "fin")}
        self.assertEqual(
            fins,
            {
                "Error": True,
                "Inform": False,
                "Response": False,
                "Data": False,
                "Trailers": True,
                "Push": False,
                "Upgrade": False,
                "TunnelUp": False,
                "Ws": False,
                "Sse": False,
            },
        )

    def test_told_as(self) -> None:
        """Each is told by its own method of `IReceiver`."""
        methods = [event.told_as for event in EVENTS]
        self.assertEqual(len(set(methods)), len(methods))
        self.assertEqual(sorted(methods), sorted(IReceiver.names()))


class ReprTests(SynchronousTestCase):
    """What may be logged."""

    def test_fields(self) -> None:
        """A `repr` shows the fields by name."""
        self.assertEqual(repr(EVENTS[4]), "Inform(stream='stream', status=103, headers=[(b'x', b'y')])")
        self.assertEqual(repr(EVENTS[6]), "Data(stream='stream', fin=False, data=b'hello')")
        self.assertIn("StreamClosed('gone')", repr(EVENTS[3]))
        self.assertEqual(repr(EVENTS[10]), "TunnelUp(connection='connection', stream='stream', protocol='http2')")

    def test_no_credentials(self) -> None:
        """Credentials are hidden, in every event that has headers, and everything else is shown."""
        names = (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie")
        headers = (*((name, b"canary") for name in names), (b"x", b"seen"))
        for event in (
            Inform(stream=STREAM, status=103, headers=headers),
            Response(stream=STREAM, fin=True, status=200, headers=headers),
            Trailers(stream=STREAM, headers=headers),
            Push(stream=STREAM, pushed_stream=STREAM, method=b"GET", uri=b"http://example.org/", headers=headers),
            Upgrade(stream=STREAM, protocols=(b"echo",), headers=headers),
        ):
            for shown in (repr(event), str(event), f"{event}", f"{event!r}"):
                self.assertNotIn("canary", shown)
                self.assertIn("seen", shown)
                for name in names:
                    self.assertIn(name.decode(), shown)
            self.assertEqual(event.headers, headers)

    def test_long_data(self) -> None:
        """Long data is cut, and its size told."""
        self.assertIn("data=b'" + "x" * 64 + "')", repr(Data(stream=STREAM, fin=True, data=b"x" * 64)))
        self.assertIn("data=b'" + "x" * 64 + "'... (65 bytes))", repr(Data(stream=STREAM, fin=True, data=b"x" * 65)))

    def test_error_is_one_of_ours(self) -> None:
        """The reason of an error is a `GunError`."""
        self.assertIsInstance(EVENTS[3].reason, GunError)

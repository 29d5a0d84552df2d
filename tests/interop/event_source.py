"""
A server of events that are kept on disk, to be killed and started again at any time: ``event_source.py PORT LOG TOTAL SHARE``.

Every event is a line of LOG, written before it is sent; its identifier is its number. Each time it is started it publishes SHARE more
events, but no more than TOTAL in all; all of them are sent to whoever asks, from behind the Last-Event-ID that is given. At SIGTERM it ends
its streams in good order, after the event it is at; by SIGKILL it ends where it is. Only the standard library is used: it starts at once.
"""

import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Log:
    """The events, as a file: one line each."""

    def __init__(self, path: Path) -> None:
        path.touch()
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:  # killed while it was written: nobody was sent it
            path.write_bytes(whole + b"\n" if whole else b"")
        self.lines = whole.split(b"\n") if whole else []
        self.grown = threading.Condition()
        self.ending = False
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def publish(self, line: bytes) -> None:
        """Write an event, then let it be sent."""
        self._file.write(line + b"\n")
        with self.grown:
            self.lines.append(line)
            self.grown.notify_all()

    def end(self, number: int, frame: FrameType | None) -> None:
        """Let all streams end."""
        self.ending = True


def serve(connection: socket.socket, log: Log) -> None:
    """Answer one request after the other."""
    requests = connection.makefile("rb")
    while not log.ending:
        fields = {}
        for line in iter(requests.readline, b"\r\n"):
            if not line:
                return
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        stream(connection, log, int(fields.get(b"last-event-id", b"0")))


def stream(connection: socket.socket, log: Log, at: int) -> None:
    """Send the events from `at` on, as they are published."""
    chunk = b"retry: 10\n\n"
    connection.sendall(HEAD)
    while chunk:
        connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        with log.grown:
            while at == len(log.lines) and not log.ending:
                log.grown.wait(0.01)
            lines = [] if log.ending else log.lines[at : at + 20]
        chunk = b"".join(b"id: %d\r\ndata: %b\r\n\r\n" % (at + number, line) for number, line in enumerate(lines, 1))
        at += len(lines)
    connection.sendall(b"0\r\n\r\n")


def publish(log: Log, total: int, share: int) -> None:
    """Publish events a few at a time."""
    for number in range(len(log.lines), min(len(log.lines) + share, total)):
        log.publish(b"event %d" % (number + 1))
        if number % 10 == 0:
            time.sleep(0.001)


def accept(listening: socket.socket, log: Log) -> None:
    """Serve whoever comes."""
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=serve, args=(connection, log), daemon=True).start()


def main(port: int, path: Path, total: int, share: int) -> None:
    """Serve until the end."""
    log = Log(path)
    signal.signal(signal.SIGTERM, log.end)
    listening = socket.create_server(("127.0.0.1", port))
    threads = [threading.Thread(target=accept, args=(listening, log), daemon=True)]
    threads += [threading.Thread(target=publish, args=(log, total, share), daemon=True)]
    for thread in threads:
        thread.start()
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while not log.ending:
        time.sleep(0.005)
    listening.close()
    time.sleep(0.05)  # for the streams to end


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

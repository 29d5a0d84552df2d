"""
``twistd gunclient`` for a long time, behind tinyproxy, with a server that is restarted every 20 seconds.

``python -m benchmarks.soak_gunclient [SECONDS]``, by default ten minutes. Three of them run: one follows event streams, one keeps a
websocket, one gets a path ten times a second. In the end no event may be missing that the server sent while it was up, and neither memory
nor open files may have grown. Linux only, for it reads /proc.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.interop.proxies import TINYPROXY
from tests.interop.servers import free_port

ROOT = Path(__file__).resolve().parent.parent
RESTART_EVERY = 20.0
#: Seconds between two events, that the server is down each time, and until memory is looked at for the first time.
EVENT_EVERY, DOWN, WARM = 0.01, 0.5, 60.0
#: How much the memory may grow, in KiB: the allocator's noise.
MOST_GROWTH = 2048


def main(seconds: float) -> int:
    """Run it; 0 where all is well."""
    with tempfile.TemporaryDirectory(prefix="gun-soak-") as folder:
        return Soak(Path(folder)).run(seconds)


class Client:
    """One ``twistd gunclient``, and what it wrote."""

    def __init__(self, root: Path, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.output = root / f"{name}.jsonl"
        common = ["--retry-first=0.1", "--retry-longest=1", "--rotate-size=1M", "--rotate-keep=1000", f"--output={self.output}"]
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
        command += [f"--logfile={root / name}.log", "gunclient", *common, *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
        self.process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
        self.samples: list[tuple[float, int, int]] = []  # when, KiB, open files

    def sample(self, when: float) -> None:
        """Look at its memory, and its open files."""
        proc = Path("/proc") / str(self.process.pid)
        resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
        self.samples.append((when, int(resident.split()[1]), len(os.listdir(proc / "fd"))))

    def lines(self) -> Iterator[dict[str, Any]]:
        """All that it wrote, from the oldest file on."""
        numbers = sorted((int(path.suffix[1:]) for path in self.output.parent.glob(f"{self.output.name}.*")), reverse=True)
        for path in [*(Path(f"{self.output}.{number}") for number in numbers), self.output]:
            data = path.read_bytes()
            assert data.endswith(b"\n"), f"{path} ends with a half of a line"
            yield from map(json.loads, data.splitlines())

    def stop(self) -> list[str]:
        """End it; what is wrong with that."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        print(f"{self.name}: ended in {time.monotonic() - begun:.2f} s with {status}")
        return [] if status == -signal.SIGTERM else [f"{self.name} ended with {status}"]


class Soak:
    """All of it, with its files in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.server = self.start_server()
        proxy_port = free_port()
        (root / "filter").write_text(":1025(/|$)\n")
        (root / "tinyproxy.conf").write_text(TINYPROXY.format(port=proxy_port, root=root))
        root.chmod(0o755)
        self.proxy = subprocess.Popen(["tinyproxy", "-d", "-c", str(root / "tinyproxy.conf")], stdout=subprocess.DEVNULL)
        time.sleep(1.0)
        place, proxy = f"127.0.0.1:{self.port}", f"--proxy=http://127.0.0.1:{proxy_port}"
        self.clients = [
            Client(root, "sse", ["--sse", proxy, f"http://{place}/feed"]),
            Client(root, "ws", ["--ws", proxy, f"ws://{place}/ws"]),
            Client(root, "get", ["--get=/some", "--every=0.1", proxy, f"http://{place}"]),
        ]

    def start_server(self) -> subprocess.Popen[bytes]:
        """The server, once it listens."""
        script = ROOT / "tests" / "interop" / "gunclient.py"
        command = [sys.executable, "-P", str(script), str(self.port), str(self.root / "log"), str(EVENT_EVERY)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()
        return server

    def stop_server(self) -> None:
        """End it in good order."""
        self.server.terminate()
        self.server.communicate()

    def run(self, seconds: float) -> int:
        """Run for so long; 0 where all is well."""
        try:
            self.let_pass(seconds)
            time.sleep(1.0)
            self.stop_server()
            time.sleep(1.0)
            wrong = [problem for client in self.clients for problem in client.stop()]
        finally:
            for process in (self.server, self.proxy, *(client.process for client in self.clients)):
                if process.poll() is None:
                    process.kill()
                    process.wait()
        wrong += self.lost() + [problem for client in self.clients for problem in grown(client)]
        for problem in wrong:
            print(f"WRONG: {problem}")
        return 1 if wrong else 0

    def let_pass(self, seconds: float) -> None:
        """Restart the server every 20 seconds, and look at the clients every five."""
        begun, restarts = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            if passed >= (restarts + 1) * RESTART_EVERY:
                self.stop_server()
                time.sleep(DOWN)
                self.server = self.start_server()
                restarts += 1
            for client in self.clients:
                client.sample(passed)
            time.sleep(5.0 if seconds > WARM else 1.0)
        print(f"{seconds:.0f} s, {restarts} restarts")

    def lost(self) -> list[str]:
        """What is missing in what was written."""
        wrong = []
        written = {client.name: list(client.lines()) for client in self.clients}
        for name, lines in written.items():
            counts = {event: sum(line["event"] == event for line in lines) for event in sorted({line["event"] for line in lines})}
            print(f"{name}: {len(lines)} lines: {counts}")
            if lines[-1]["event"] != "stop":
                wrong.append(f"{name} did not write its last line")
        published = [int(line) for line in (self.root / "log").read_bytes().split()]
        events = [int(line["id"]) for line in written["sse"] if line["event"] == "sse"]
        print(f"sse: {len(published)} events were published, {len(events)} received, {len(set(published) - set(events))} missing")
        # The last ones were published while the stream was ending, and not sent.
        if events != published[: len(events)] or len(published) - len(events) > 5:
            wrong.append("events of the stream are missing, come twice or out of order")
        sent = [int(line) for line in (self.root / "log.ws").read_bytes().split()]
        received = [int(line["text"]) for line in written["ws"] if line["event"] == "ws" and line["type"] == "text"]
        print(f"ws: {len(sent)} messages were sent, {len(received)} received, {len(set(sent) - set(received))} missing")
        if received != sent:
            wrong.append("messages are missing, come twice or out of order")
        return wrong + unanswered(written["get"])


def unanswered(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Requests that have no end, or another than they should."""
    asked = {line["request"] for line in lines if line["event"] == "request"}
    ended = {line.get("request") for line in lines if line["event"] == "error" or line.get("fin")}
    good = {line["request"] for line in lines if line["event"] == "response" and line["status"] == 200}
    failed = {line.get("request") for line in lines if line["event"] == "error"}
    texts: dict[int, str] = {}
    for line in lines:
        if line["event"] == "data" and line["request"] in good - failed:
            texts[line["request"]] = texts.get(line["request"], "") + line["text"]
    print(f"get: {len(asked)} requests, {len(good)} answered by the server, {len(asked & failed)} failed")
    wrong = [] if asked <= ended else [f"{len(asked - ended)} requests have no end"]
    return wrong + (["contents are not what they should be"] if set(texts.values()) != {"GET /some"} else [])


def grown(client: Client) -> list[str]:
    """Whether memory or open files have grown, from the first fifth after the warming up to the last."""
    samples = [sample for sample in client.samples if sample[0] >= WARM] or client.samples
    part = max(1, len(samples) // 5)
    first, last = samples[:part], samples[-part:]
    memory = [sorted(kib for _, kib, _ in some)[len(some) // 2] for some in (first, last)]
    files = [max(count for _, _, count in some) for some in (first, last)]
    print(f"{client.name}: resident {memory[0]} KiB, then {memory[1]} KiB; open files {files[0]}, then {files[1]}")
    wrong = [f"the memory of {client.name} has grown"] if memory[1] - memory[0] > MOST_GROWTH else []
    return wrong + ([f"{client.name} has more files open"] if files[1] > files[0] else [])


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0))

"""The load generator: `wrk` where it is installed, else a small client of our own.

    python -m tests.bench.http_load URL CONNECTIONS SECONDS

The own client keeps connections alive, sends the next request when the answer to the one before is
whole, and runs as a process of its own on uvloop.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

from tests.bench.sampling import ROOT

_UNIT_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator saw."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def generator() -> str:
    """Which load generator is used here."""
    return "wrk" if shutil.which("wrk") else "tests/bench/http_load.py"


def put_load(url: str, connections: int, seconds: int) -> Load:
    """Ask as often as it answers, over so many connections, one thread."""
    if generator() == "wrk":
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
        return _read_wrk(_output(words, seconds))
    words = [sys.executable, "-m", "tests.bench.http_load", url, str(connections), str(seconds)]
    return Load(**json.loads(_output(words, seconds)))


def _output(words: list[str], seconds: int) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return done.stdout


def _read_wrk(said: str) -> Load:
    def latency_ms(share: int) -> float:
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
        return float(found[1]) * _UNIT_MS[found[2]] if found else float("nan")

    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    if rate is None or count is None:
        raise ValueError(f"wrk said {said!r}")
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    for line in re.findall(r"Socket errors: (.*)", said):
        errors += sum(map(int, re.findall(r"\d+", line)))
    return Load(int(count[1]), float(rate[1]), latency_ms(50), latency_ms(99), errors)


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, request: bytes, latencies_ns: list[int]) -> None:
        self._request = request
        self._latencies_ns = latencies_ns
        self._pending = b""
        self._sent_ns = 0
        self._transport: asyncio.Transport | None = None
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ask()

    def data_received(self, data: bytes) -> None:
        data = self._pending + data if self._pending else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _content_length(data[:end]):
            self._pending = data
            return
        self._pending = b""
        self._latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
        self.errors += not data.startswith(b"HTTP/1.1 200")
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.errors += error is not None

    def _ask(self) -> None:
        assert self._transport is not None
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._request)

    def stop(self) -> None:
        """Ask no more."""
        if self._transport is not None:
            self._transport.abort()


def _content_length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


async def _load(url: str, connections: int, seconds: int) -> Load:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    latencies_ns: list[int] = []
    clients = [_Client(request, latencies_ns) for _ in range(connections)]
    loop = asyncio.get_running_loop()
    for client in clients:
        await loop.create_connection(lambda client=client: client, parts.hostname, parts.port)
    latencies_ns.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed_s = time.perf_counter() - began
    ordered = sorted(latencies_ns)
    for client in clients:
        client.stop()
    n = len(ordered)
    errors = sum(client.errors for client in clients)
    return Load(n, n / elapsed_s, ordered[n // 2] / 1e6, ordered[int(0.99 * n)] / 1e6, errors)


if __name__ == "__main__":
    import uvloop

    print(json.dumps(asdict(uvloop.run(_load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))))

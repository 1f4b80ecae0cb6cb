"""Benchmark 4: GET /v1/forecasts/{symbol} over HTTP, under load.

A real Tickcast with two symbol actors on a live market. Beside it, behind the same HAProxy in the same
Ray: a deployment that answers with a constant, and one that asks the actor for every request; and
outside Ray, FastAPI under uvicorn. Each load is put on one after the other, in rounds. The load
generator, the server and Ray share the machine's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.bench.http_load import Load, generator, put_load
from tests.bench.processes import ForeignLoad, cpu_s, own_s, title
from tests.bench.running import Running, free_ports, tickcast, wait_until
from tests.bench.sampling import ROOT
from tests.bench.suite import Benchmark, Column, Effort, Sample, Table

_SYMBOLS = ("BTCUSDT", "ETHUSDT")
_CONNECTIONS = (1, 8, 32, 128)
_SHOWN = 32
"""Connections at which CPU by process is shown."""
_PATH = f"/v1/forecasts/{_SYMBOLS[0]}"
_TICKCAST = "Tickcast"
_DIRECT = "Tickcast, at the replica's own port"
_NO_OP = "Serve, constant answer"
_NAIVE = "Serve, an actor call a request"
_UVICORN = "FastAPI and uvicorn, constant answer"


def _run(effort: Effort) -> Sample:
    sample = Sample()
    with tickcast(_SYMBOLS, 8.0) as running:
        body = httpx.get(running.state.api_url + _PATH).raise_for_status().content
        _deploy_rivals(body)
        with _uvicorn(body) as (url, server):
            urls = {
                _TICKCAST: running.state.api_url + _PATH,
                _DIRECT: f"http://127.0.0.1:{_replica_port(running)}{_PATH}",
                _NO_OP: f"{running.state.api_url}/constant{_PATH}",
                _NAIVE: f"{running.state.api_url}/naive{_PATH}",
                _UVICORN: url + _PATH,
            }
            for each in urls.values():
                wait_until(f"{each} answers", 30.0, partial(_answers, each))
                put_load(each, 8, 1)
            _load_all(sample, running, urls, server, effort)
        asyncio.run(_time_calls(sample))
        _time_router(sample, body)
    sample.notes += [f"load generator: {generator()}, one thread; the answer has {len(body)} bytes"]
    return sample


def _deploy_rivals(body: bytes) -> None:
    from ray import serve

    from tests.bench import http_rivals

    for kind in ("constant", "naive"):
        serve.run(http_rivals.application(kind, body), name=kind, route_prefix=f"/{kind}")


@contextlib.contextmanager
def _uvicorn(body: bytes) -> Iterator[tuple[str, psutil.Process]]:
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tickcast-bench-") as folder:
        file = Path(folder) / "body"
        file.write_bytes(body)
        words = [sys.executable, "-m", "tests.bench.http_rivals", str(port), str(file)]
        process = subprocess.Popen(words, cwd=ROOT)
        try:
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(10.0)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False


def _replica_port(running: Running) -> int:
    """Where HAProxy reaches the API's replica: the one that answers of the ports it listens on."""
    (replica,) = running.titled("ServeReplica:tickcast:")
    for connection in replica.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            port = int(connection.laddr.port)
            if _answers(f"http://127.0.0.1:{port}{_PATH}"):
                return port
    raise RuntimeError("the API's replica answers on no port of its own")


def _load_all(
    sample: Sample, running: Running, urls: dict[str, str], server: psutil.Process, effort: Effort
) -> None:
    ours = [*running.processes(), server]
    foreign: list[float] = []
    for _ in range(effort.pick(3, 1)):
        for connections in _CONNECTIONS:
            for who, url in urls.items():
                _load_one(sample, who, url, connections, effort.pick(3, 1), ours, foreign)
    sample.foreign_cores = statistics.median(foreign)


def _load_one(
    sample: Sample,
    who: str,
    url: str,
    connections: int,
    seconds: int,
    ours: list[psutil.Process],
    foreign: list[float],
) -> None:
    roles = _roles(ours)
    before = {role: cpu_s(processes) for role, processes in roles.items()}
    watch, generator_s = ForeignLoad(time.monotonic(), ours), own_s()
    load: Load = put_load(url, connections, seconds)
    foreign.append(watch.cores(time.monotonic()))
    used = {role: cpu_s(processes) - before[role] for role, processes in roles.items()}
    used["generator"] = own_s() - generator_s
    sample.add(
        who,
        **{
            f"per_s_{connections}": load.per_s,
            f"p50_{connections}": load.p50_ms,
            f"p99_{connections}": load.p99_ms,
            f"errors_{connections}": load.errors,
        },
    )
    if connections == _SHOWN and load.requests:
        each_us = {role: seconds_used / load.requests * 1e6 for role, seconds_used in used.items()}
        sample.add(f"CPU: {who}", **each_us)


def _roles(ours: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """Our processes by what they do."""
    marks = {
        "haproxy": "haproxy",
        "ServeReplica": "replica",
        "ray::SymbolActor": "actors",
        "http_rivals": "replica",
    }
    roles: dict[str, list[psutil.Process]] = {"haproxy": [], "replica": [], "actors": [], "ray": []}
    for process in ours:
        name = title(process)
        if name:
            role = next((role for mark, role in marks.items() if mark in name), "ray")
            roles[role].append(process)
    return roles


async def _time_calls(sample: Sample) -> None:
    """The actor call that the router makes, one at a time, from this process."""
    import ray

    from cluster import names

    actor = ray.get_actor(names.symbol_actor(_SYMBOLS[0]), namespace=names.NAMESPACE)
    times: list[int] = []
    for _ in range(2_000):
        began = time.perf_counter_ns()
        await actor.forecasts.remote()
        times.append(time.perf_counter_ns() - began)
    ordered = sorted(times[200:])
    sample.add(
        "one actor call, awaited",
        stage_us=ordered[len(ordered) // 2] / 1e3,
        stage_p99_us=ordered[int(0.99 * len(ordered))] / 1e3,
    )


class _ReadyDirectory:
    """Answers at once, as no actor can; the next forecasts never come."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    async def symbols(self) -> dict[str, dict[str, Any]]:
        """One symbol, live."""
        return {_SYMBOLS[0]: {"state": "live", "horizons": ["10s", "60s"], "venue": "binance", "reason": ""}}

    async def ask(self, symbol: str, method: str, *arguments: Any) -> dict[str, Any]:
        """The same answer every time."""
        if method == "next_forecasts" and arguments[0] == self._answer["sequence"]:
            await asyncio.sleep(arguments[1])
        return self._answer


def _time_router(sample: Sample, body: bytes) -> None:
    """The API without sockets, and its router alone, in this process with a directory that never waits."""
    import msgspec

    from serve_app.api import create_api
    from serve_app.router import ForecastRouter

    made = msgspec.json.decode(body)["forecasts"]
    by_horizon = {one["horizon"]: msgspec.json.encode(one) for one in made}
    answer = {
        "symbol": _SYMBOLS[0],
        "ready": True,
        "reason": "",
        "retry_after_s": 0.0,
        "received_ns": time.time_ns(),
        "sequence": 1,
        "by_horizon": by_horizon,
    }
    router = ForecastRouter(_ReadyDirectory(answer))
    app = create_api(router)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": _PATH,
        "raw_path": _PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    async def one_request() -> None:
        await app(dict(scope), receive, send)

    async def time_both() -> tuple[float, float]:
        return await _each_us(one_request), await _each_us(lambda: router.forecasts(_SYMBOLS[0]))

    whole, routed = asyncio.run(time_both())
    sample.add("the API without sockets, forecasts at hand", stage_us=whole)
    sample.add("of it, the router", stage_us=routed)


async def _each_us(work: Any, count: int = 5_000) -> float:
    """Microseconds of one, 32 in flight."""
    await work()
    began = time.perf_counter()
    for _ in range(count // 32):
        await asyncio.gather(*(work() for _ in range(32)))
    return (time.perf_counter() - began) / (count // 32 * 32) * 1e6


_WHO = (_TICKCAST, _DIRECT, _NO_OP, _NAIVE, _UVICORN)

BENCHMARK = Benchmark(
    name="http",
    title=f"GET {_PATH} under load",
    cases={"service": _run},
    tables=(
        *(
            Table(
                f"{connections} connection{'s' if connections > 1 else ''}",
                (
                    Column(f"per_s_{connections}", "requests/s", against=_NO_OP, spread=True),
                    Column(f"p50_{connections}", "p50 ms", spread=True),
                    Column(f"p99_{connections}", "p99 ms", spread=True),
                    Column(f"errors_{connections}", "errors"),
                ),
                _WHO,
                "server",
            )
            for connections in _CONNECTIONS
        ),
        Table(
            f"Where the CPU goes, at {_SHOWN} connections, µs a request",
            (
                Column("haproxy", "HAProxy"),
                Column("replica", "replica or uvicorn"),
                Column("actors", "symbol actors"),
                Column("ray", "rest of Ray, exchange"),
                Column("generator", "load generator"),
            ),
            tuple(f"CPU: {who}" for who in _WHO),
            "server",
            "CPU: ",
        ),
        Table(
            "The pieces of a request alone",
            (Column("stage_us", "µs"), Column("stage_p99_us", "p99 µs")),
            (
                "the API without sockets, forecasts at hand",
                "of it, the router",
                "one actor call, awaited",
            ),
            "piece",
        ),
    ),
    rounds=1,
    limit_s=600.0,
)

"""Reads everything about a running Tickcast at one moment: memory, logs, lake, latency, counters."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psutil

from cluster import launch
from cluster.config import on_this_machine
from cluster.policies import SymbolState
from cluster.storage.segments import symbol_folder
from tests.bench.processes import busy_s, cpu_s, memory_mb, own_s, title
from tests.bench.running import Running
from tests.bench.soak_disk import LogWatch, tree_size
from tests.bench.soak_readings import Memory, Reading

ACTORS = "symbol actors"
AGENT = "node agent"
SUPERVISOR = "supervisor"
REPLICAS = "API replicas"
GCS = "Ray's GCS"
RAYLET = "raylet"
EXCHANGE = "local exchange"
ONLOOKER = "this benchmark's onlooker"
SERVE = "Serve's controller and proxies"
DASHBOARD = "Ray's dashboard"
REST = "rest of Ray"

_BY_NAME = {"gcs_server": GCS, "raylet": RAYLET, "haproxy": SERVE}
_BY_TITLE = {
    "ray::SymbolActor": ACTORS,
    "ray::NodeAgent": AGENT,
    "ray::Supervisor": SUPERVISOR,
    "ray::ServeReplica": REPLICAS,
    "ray::Onlooker": ONLOOKER,
    "ray::ServeController": SERVE,
    "ray::ProxyActor": SERVE,
    "ray::HAProxyManager": SERVE,
    "ray::DashboardAgent": DASHBOARD,
    "ray-dashboard": DASHBOARD,
    "ray.dashboard": DASHBOARD,
    "dashboard/dashboard.py": DASHBOARD,
    "cluster.exchange": EXCHANGE,
}
_ANSWER_LIMIT_S = 30.0


class Watch:
    """Made once for a run; each `read` costs some tenths of a second of one core."""

    def __init__(self, running: Running) -> None:
        """Called once all symbols have forecasts."""
        import ray

        from tests.bench.onlooker import Onlooker

        self._running = running
        config = running.config
        root = on_this_machine(config.log_root())
        self._logs = {
            symbol: LogWatch(symbol_folder(root, config.venue.name, symbol), time.time_ns)
            for symbol in running.symbols
        }
        self._lake = config.lake_spec().folder
        self._onlooker = ray.remote(num_cpus=0)(Onlooker).remote(running.symbols)
        self._began_s = time.monotonic()
        self._foreign = (self._began_s, busy_s() - own_s() - cpu_s(running.processes()))

    @property
    def lasted_s(self) -> float:
        """How long it has been watching."""
        return time.monotonic() - self._began_s

    def read(self) -> Reading:
        """How everything is now."""
        import ray

        processes = self._running.processes()
        memory = _memory(processes)
        symbols = launch.symbol_status()
        nodes = launch.node_status()["nodes"].values()
        latencies_ms, problems = ray.get(self._onlooker.take.remote(), timeout=_ANSWER_LIMIT_S)
        logs = {symbol: log.look() for symbol, log in self._logs.items()}
        lake_files, lake_bytes = tree_size(self._lake) if self._lake else (0, 0)
        return Reading(
            at_s=self.lasted_s,
            memory=memory,
            actors_mb=_actors(symbols),
            logs=logs,
            lake_files=lake_files,
            lake_bytes=lake_bytes,
            waiting_segments=sum(node.get("waiting", 0) for node in nodes),
            latencies_ms=latencies_ms,
            ticks=_total(symbols, "storage", "next_sequence"),
            late=_total(symbols, "events", "late"),
            counters=_counters(symbols),
            problems=problems + _problems(symbols, nodes),
            foreign_cores=self._foreign_cores(processes),
        )

    def close(self) -> None:
        """Watch no more."""
        import ray

        ray.kill(self._onlooker)

    def _foreign_cores(self, ours: list[psutil.Process]) -> float:
        (before_s, before), now_s = self._foreign, time.monotonic()
        taken = busy_s() - own_s() - cpu_s(ours)
        self._foreign = (now_s, taken)
        return max(0.0, (taken - before) / (now_s - before_s))


def kind_of(name: str, command: str) -> str:
    """What a process of a run is, from its name and its command line."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    return next((kind for text, kind in _BY_TITLE.items() if text in command), REST)


def _memory(processes: list[psutil.Process]) -> dict[str, Memory]:
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for process in processes:
        # One that ends meanwhile holds nothing.
        with contextlib.suppress(psutil.Error, OSError, KeyError):
            found[kind_of(process.name(), title(process))].append(memory_mb(process.pid))
    return {
        kind: Memory(
            processes=len(several),
            written_mb=sum(one["written_mb"] for one in several),
            uss_mb=sum(one["uss_mb"] for one in several),
            rss_mb=sum(one["rss_mb"] for one in several),
        )
        for kind, several in found.items()
    }


def _actors(symbols: dict[str, Any]) -> dict[str, float]:
    found = {}
    for symbol, status in symbols.items():
        with contextlib.suppress(OSError, KeyError):
            found[symbol] = memory_mb(status["pid"])["written_mb"]
    return found


_COUNTED = {
    "continuity": (
        "missing",
        "gaps_found",
        "gaps_given_up",
        "duplicates",
        "reordered",
        "before_start",
        "other_symbols",
    ),
    "events": ("rejected",),
    "messages": ("malformed", "unknown", "reconnects", "stale"),
}
"""What a run without faults should have none of."""


def _counters(symbols: dict[str, Any]) -> dict[str, int]:
    counted = {name: _total(symbols, part, name) for part, names in _COUNTED.items() for name in names}
    return counted | {"actors replaced": sum(one["replaced"] for one in symbols.values())}


def _total(symbols: dict[str, Any], part: str, name: str) -> int:
    """Over all symbols; one whose state is being restored says nothing yet."""
    return sum(one[part][name] for one in symbols.values() if part in one)


def _problems(symbols: dict[str, Any], nodes: Iterable[dict[str, Any]]) -> list[str]:
    found = []
    for symbol, one in symbols.items():
        said = (one.get("failure"), one.get("trouble"), *one.get("storage", {}).get("problems", ()))
        found += [f"{symbol}: {text}" for text in said if text]
        if one["state"] != SymbolState.LIVE.value:
            found.append(f"{symbol} is {one['state']}: {one['reason']}")
    for node in nodes:
        found += [f"archiver: {text}" for text in (node.get("problem"), *node.get("damaged", ())) if text]
    return found

"""A Tickcast of our own for a benchmark: on a generated market, free ports and a folder of its own.

Started by `cluster.launch.up`, as users start it, and ended again whatever happens. Ray may be imported
only after that, since it reads the cluster's token when it is imported.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cluster import launch, ray_node
from cluster.config import Config
from cluster.exchange.market import MarketSpec
from cluster.run_state import RunState
from tests.bench.processes import family, title

TEN_SYMBOLS = tuple(
    f"{base}USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOT", "LTC", "TRX", "UNI")
)
_SEED = 1
_READY_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """The run, and how to find its processes."""

    state: RunState
    symbols: tuple[str, ...]
    config: Config
    trades_per_s: float
    """Of each symbol, on average over the market's regimes."""

    def processes(self) -> list[psutil.Process]:
        """All of it: Ray with everything in it, and the exchange."""
        found: set[psutil.Process] = set()
        for process in self.state.processes:
            found.update(family(process.pid, self.state.temp_dir))
        return list(found)

    def titled(self, text: str) -> list[psutil.Process]:
        """Those whose command line holds the text."""
        return [process for process in self.processes() if text in title(process)]

    def market(self, start_ns: int, symbols: tuple[str, ...]) -> MarketSpec:
        """The market that the exchange generates, of some of its symbols: their trades are the same."""
        return MarketSpec(symbols, _SEED, self.trades_per_s, start_ns=start_ns)


@contextlib.contextmanager
def tickcast(symbols: tuple[str, ...], trades_per_s: float, **settings: Any) -> Iterator[Running]:
    """A running Tickcast whose symbols all have forecasts. `settings` are those of the config file."""
    folder = Path(tempfile.mkdtemp(prefix="tcb-"))
    config = _config(folder, symbols, settings)
    market = ["--generate", *symbols, "--seed", str(_SEED), "--rate", str(trades_per_s)]
    state = None
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        state = launch.up(config, market, lambda text: None)
        # Ray's own handler aborts the process three seconds after the signal: too soon to end a Ray.
        signal.signal(signal.SIGTERM, on_term)
        running = Running(state, symbols, config, trades_per_s)
        wait_until("all symbols have forecasts", _READY_LIMIT_S, lambda: _all_ready(symbols))
        yield running
    finally:
        # Nothing may cut this short: Ray's processes would live on.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        try:
            if state is not None:
                launch.down(state, lambda text: None)
        finally:
            shutil.rmtree(ray_node.temp_dir(config.run_dir), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def wait_until(what: str, limit_s: float, condition: Callable[[], bool]) -> None:
    """Ask now and then until it is so. Raises TimeoutError that names what did not come."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _config(folder: Path, symbols: tuple[str, ...], settings: dict[str, Any]) -> Config:
    api, ray, dashboard = free_ports(3)
    values = {
        "symbols": symbols,
        "serve": {"port": api},
        "ray": {"port": ray, "dashboard_port": dashboard},
        "run_dir": folder / "run",
        **settings,
    }
    return Config.model_validate(values)


def _all_ready(symbols: tuple[str, ...]) -> bool:
    status = launch.symbol_status()
    return all(status.get(symbol, {}).get("ready") for symbol in symbols)

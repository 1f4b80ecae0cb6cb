"""A Tickcast of the drill's own: a tape on a local exchange, a store, Ray, actors, and how to ask."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from cluster import config as configuration
from cluster import launch, names, ray_node
from cluster.config import Config
from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import write_market_tape
from cluster.exchange_process import RestartableExchange
from features.errors import TickcastError
from jobs.drill_plan import DrillSpec
from jobs.s3_server import S3Server

_ANSWER_S = 3.0
_LOOK_EVERY_S = 0.02
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class DrillRun:
    """What runs, and how to ask it. Fits `drill_faults.Victims`."""

    spec: DrillSpec
    config: Config
    tape: Path
    exchange: RestartableExchange
    store: S3Server | None
    api: httpx.Client

    def pid_of(self, symbol: str) -> int | None:
        """The process of the symbol's actor; None while there is none."""
        status = self.ask(names.symbol_actor(symbol), "status")
        return None if status is None else status["pid"]

    def supervisor_pid(self) -> int | None:
        """The process of the supervisor; None while there is none."""
        nodes = self.ask(names.SUPERVISOR, "nodes")
        return None if nodes is None else nodes["supervisor_pid"]

    def ask(self, name: str, method: str) -> Any:
        """What an actor's method answers; None when it can't."""
        import ray

        try:
            actor = ray.get_actor(name, namespace=names.NAMESPACE)
            return ray.get(getattr(actor, method).remote(), timeout=_ANSWER_S)
        except (ValueError, ray.exceptions.RayError):
            return None

    def newest_known(self, symbol: str) -> int:
        """Id of the newest trade that an answer of the API knows; -1 when it has none now."""
        with contextlib.suppress(httpx.HTTPError):
            answer = self.api.get(f"/v1/forecasts/{symbol}", params={"horizon": self.config.horizons[0]})
            if answer.status_code == 200:
                known = answer.json()["watermark_trade_id"]
                return -1 if known is None else int(known)
        return -1

    def published(self) -> dict[str, int]:
        """Id of the newest trade that the exchange has published, by symbol."""
        state = self.exchange.exchange.state()
        return {name: one["last_id"] or 0 for name, one in state["symbols"].items()}

    def finished(self) -> bool:
        """Whether the tape has been played to its end."""
        return bool(self.exchange.exchange.state()["finished"])

    def until(self, what: str, look: Callable[[], _Answer], limit_s: float) -> _Answer:
        """The first true answer of `look`. Raises TickcastError when the time is up."""
        deadline = time.monotonic() + limit_s
        while True:
            if answer := look():
                return answer
            if time.monotonic() > deadline:
                raise TickcastError(f"{what}: not within {limit_s:g} s", "drill", "see the logs of the run")
            time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def running(spec: DrillSpec, folder: Path, say: Callable[[str], None]) -> Iterator[DrillRun]:
    """A running Tickcast that watches the tape; it, the exchange and the store end with the block."""
    tape = folder / "tape.parquet"
    count = write_market_tape(
        MarketSpec(symbols=spec.symbols, seed=spec.seed, trades_per_s=spec.rate), spec.seconds, tape
    )
    say(f"{count:,} trades of {len(spec.symbols)} symbols over {spec.seconds:g} s")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(S3Server(folder / "s3")) if spec.store == "s3" else None
        exchange = RestartableExchange.start(
            ["--replay", str(tape), "--keep-source-ids", "--wait-for", "all"], folder / "exchange"
        )
        stack.callback(exchange.end)
        config = _config(spec, folder, exchange, store)
        state = launch.up(config, None, say)
        stack.callback(launch.down, state, say)
        api = stack.enter_context(httpx.Client(base_url=state.api_url, timeout=_ANSWER_S))
        yield DrillRun(spec, config, tape, exchange, store, api)


def _config(spec: DrillSpec, folder: Path, exchange: RestartableExchange, store: S3Server | None) -> Config:
    api, ray, dashboard, metrics, stats = ray_node.free_ports(5)
    lake = store.spec().model_dump() if store else {"uri": str(folder / "lake")}
    values = {
        "symbols": spec.symbols,
        "venue": {
            "quotes": False,
            "options": {"microseconds": True, "verbatim_symbols": True},
            "websocket_url": exchange.exchange.websocket_url,
            "rest_url": exchange.rest_url,
        },
        # What our clock adds to the stream would be another one in every run.
        "bars": {"heartbeat_delay": None},
        "storage": {
            "lake": lake,
            "data_dir": str(folder / "data"),
            "log": {"roll_after_s": 5.0, "checkpoint_every_s": 5.0},
        },
        "serve": {"port": api},
        "ray": {
            "port": ray,
            "dashboard_port": dashboard,
            "environment": {
                "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
                "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
            },
        },
        "run_dir": folder / "run",
    }
    return configuration.parse(Config, values, "drill")

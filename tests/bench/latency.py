"""Benchmark 3: how long after the tick that closes a bar its forecast is there.

A real Tickcast with ten symbol actors; the local exchange sends 1,000 trades a second. Every bar of
every symbol closes with the first trade of the next second, so all ten actors are at work at once.

One process beside it watches from outside: it reads the same trades over a websocket of its own, and
long-polls every actor for the next forecasts. A trade's time is the moment at which the exchange means
to send it. At the end it watches once more, while a training on each core wants all of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from features.engine import EngineSpec, SymbolEngine
from tests.bench import sources
from tests.bench.beside_training import trainings
from tests.bench.processes import ForeignLoad, cpu_s
from tests.bench.running import TEN_SYMBOLS, Running, tickcast
from tests.bench.suite import Benchmark, Column, Effort, Sample, Table

_SECOND_NS = 1_000_000_000
_TRADES_PER_S = 100.0
"""Of each symbol."""
_LONG_POLL_S = 5.0
_TRAINING = ", beside trainings"


@dataclass(slots=True)
class _Outside:
    """What the watching process saw."""

    closing_ns: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """By symbol and end of the bar: the time of the trade that closes it, and when it was received here."""
    answers: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Symbol, end of the bar, the actor's receipt of its newest event, and when the answer was here."""
    trades: int = 0


def _run(effort: Effort) -> Sample:
    sample = Sample()
    _engine_alone(sample, effort)
    settings = {
        "venue": {"name": "binance", "quotes": False, "options": {"microseconds": True}},
        # Only a trade closes a bar, never the clock: every closing tick is then known.
        "bars": {"heartbeat_delay": None},
    }
    with tickcast(TEN_SYMBOLS, _TRADES_PER_S, **settings) as running:
        ours = running.processes()
        actors = [process for process in ours if process.name().startswith("ray::SymbolActo")]
        load = ForeignLoad(time.monotonic(), ours)
        began_s, actor_cpu = time.monotonic(), cpu_s(actors)
        seen = asyncio.run(_watch(running, effort.pick(60, 10)))
        elapsed_s = time.monotonic() - began_s
        sample.foreign_cores = load.cores(time.monotonic())
        busy = (cpu_s(actors) - actor_cpu) / elapsed_s
        _report(sample, seen)
        _ask_actors(sample)
        _beside_training(sample, running, effort)
        sample.notes += [
            f"{seen.trades / elapsed_s:,.0f} trades a second over {len(TEN_SYMBOLS)} symbols, "
            f"{len(seen.answers)} bars closed; each actor takes {100 * busy / len(actors):.1f} % of a core",
        ]
    return sample


def _beside_training(sample: Sample, running: Running, effort: Effort) -> None:
    """The same once more, while as many trainings as there are cores want all of them."""
    with trainings(effort.pick(200_000, 20_000)) as beside:
        seen = asyncio.run(_watch(running, effort.pick(60, 10)))
        if not beside.alive:
            raise RuntimeError("a training came to its end while it was to be measured beside")
        cores = beside.cores
    _report(sample, seen, _TRAINING)
    sample.notes.append(f"the trainings beside it had {cores:.2f} cores")


def _engine_alone(sample: Sample, effort: Effort) -> None:
    """The limit: the engine's arithmetic for the tick that closes a bar, in this process."""
    made = sources.ticks(effort.pick(100_000, 20_000), per_s=100.0)
    engine = SymbolEngine(EngineSpec("ALONE"))
    half = len(made) // 2
    engine.update(made[:half])
    times = []
    for i in range(half, len(made)):
        one = made[i : i + 1]
        began = time.perf_counter_ns()
        step = engine.update(one)
        if len(step.bars):
            times.append(time.perf_counter_ns() - began)
    _quantiles(sample, "engine alone, one process", times)


async def _watch(running: Running, seconds: int) -> _Outside:
    seen = _Outside()
    url = running.state.exchange["websocket_url"]
    tap = asyncio.create_task(_tap(url, running.symbols, seen))
    polls = [asyncio.create_task(_poll(symbol, seen)) for symbol in running.symbols]
    done, _ = await asyncio.wait([tap, *polls], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (tap, *polls):
        task.cancel()
    for task in done:
        task.result()
    return seen


async def _tap(url: str, symbols: tuple[str, ...], seen: _Outside) -> None:
    """Note the first trade of every second of every symbol."""
    import msgspec
    from websockets.asyncio.client import connect

    trade = msgspec.defstruct("TapTrade", [("s", str), ("T", int)])
    message = msgspec.defstruct("TapMessage", [("data", trade)])
    decode = msgspec.json.Decoder(message).decode
    streams = "/".join(f"{symbol.lower()}@trade" for symbol in symbols)
    newest: dict[str, int] = {}
    address = f"{url}/stream?streams={streams}&timeUnit=MICROSECOND"
    async with connect(address, compression=None, ping_interval=None) as connection:
        while True:
            raw = await connection.recv(decode=False)
            now_ns = time.time_ns()
            data = decode(raw).data
            seen.trades += 1
            ts_ns = data.T * 1_000
            end_ns = ts_ns // _SECOND_NS * _SECOND_NS
            if newest.get(data.s, end_ns) < end_ns:
                seen.closing_ns[data.s, end_ns] = (ts_ns, now_ns)
            newest[data.s] = max(end_ns, newest.get(data.s, end_ns))


async def _poll(symbol: str, seen: _Outside) -> None:
    """Ask for the next forecasts over and over, as a client that wants each at once."""
    import msgspec
    import ray

    from cluster import names

    made = msgspec.json.Decoder(msgspec.defstruct("Made", [("made_at_ns", int)])).decode
    actor = ray.get_actor(names.symbol_actor(symbol), namespace=names.NAMESPACE)
    after = (await actor.forecasts.remote())["sequence"]
    while True:
        answer = await actor.next_forecasts.remote(after, _LONG_POLL_S)
        now_ns = time.time_ns()
        if answer["sequence"] == after + 1:
            end_ns = made(answer["by_horizon"]["10s"]).made_at_ns
            seen.answers.append((symbol, end_ns, answer["received_ns"], now_ns))
        after = answer["sequence"]


def _report(sample: Sample, seen: _Outside, while_: str = "") -> None:
    known = [
        (answer, seen.closing_ns[answer[:2]]) for answer in seen.answers if answer[:2] in seen.closing_ns
    ]
    if not known:
        raise RuntimeError("no bar was seen both closing and forecast")
    _quantiles(
        sample,
        f"exchange to a bare websocket client{while_}",
        [received - ts for _, (ts, received) in known],
    )
    _quantiles(
        sample,
        f"actor's socket to a Ray client's hands{while_}",
        [now - received for (_, _, received, now), _ in known],
    )
    _quantiles(
        sample,
        f"exchange to a Ray client's hands{while_}",
        [now - ts for (_, _, _, now), (ts, _) in known],
    )


def _ask_actors(sample: Sample) -> None:
    """The actors' own histograms, from receipt to forecast, the start included."""
    from cluster import launch

    reports = [one["tick_to_forecast"] for one in launch.symbol_status().values()]
    for report in reports:
        sample.add(
            "actor's socket to forecast",
            p50=report["p50_ms"],
            p90=report["p90_ms"],
            p99=report["p99_ms"],
        )


def _quantiles(sample: Sample, row: str, times_ns: list[int]) -> None:
    ordered = sorted(times_ns)

    def at(share: float) -> float:
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1e6

    sample.add(row, least=ordered[0] / 1e6, p50=at(0.5), p90=at(0.9), p99=at(0.99), most=ordered[-1] / 1e6)


BENCHMARK = Benchmark(
    name="latency",
    title="from the tick that closes a bar to its forecast, ten actors at 1,000 trades/s",
    cases={"ten symbols": _run},
    tables=(
        Table(
            "Latency; the actors' own row is the median over the ten actors",
            (
                Column("least", "least ms"),
                Column("p50", "p50 ms", against="exchange to a bare websocket client"),
                Column("p90", "p90 ms"),
                Column("p99", "p99 ms", against="exchange to a bare websocket client"),
                Column("most", "most ms"),
            ),
            (
                "engine alone, one process",
                "exchange to a bare websocket client",
                "actor's socket to forecast",
                "actor's socket to a Ray client's hands",
                "exchange to a Ray client's hands",
                f"exchange to a bare websocket client{_TRAINING}",
                f"actor's socket to a Ray client's hands{_TRAINING}",
                f"exchange to a Ray client's hands{_TRAINING}",
            ),
            "from ... to",
        ),
    ),
    rounds=1,
    limit_s=300.0,
)

"""A backtest's symbols on Ray Data: one row is one symbol, whose task reads its history itself.

No row of history goes through the object store: a task is sent two words and gives back a short result. Its
state lies in the lake, so that a task that Ray starts again goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from jobs.backtesting.job import BacktestJob
from jobs.backtesting.result import SymbolResult, symbol_of
from jobs.command_line import say
from jobs.politeness import be_polite


def run(job: BacktestJob, pairs: list[tuple[str, str]], workers: int | None) -> Iterator[SymbolResult]:
    """The symbols' results as they are finished, at most `workers` at a time; Ray must be up."""
    import ray.data

    rows = [{"venue": venue, "symbol": symbol} for venue, symbol in pairs]
    chains = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Chain(job), concurrency=workers, num_cpus=1
    )
    for row in chains.iter_rows():
        yield unpacked(row)


def unpacked(row: dict[str, Any]) -> SymbolResult:
    """The result that a task gave back."""
    return symbol_of(json.loads(row["result"]))


class Chain:
    """What a task does with its row."""

    def __init__(self, job: BacktestJob) -> None:
        self._job = job

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        be_polite()
        result = self._job.run(str(row["venue"]), str(row["symbol"]), say)
        return {"result": json.dumps(asdict(result))}

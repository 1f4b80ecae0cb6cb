"""One symbol from its first bar to its last: the live engine, and an account for each rule.

    chain = SymbolChain(settings, "BTCUSDT")
    block, rows = chain.feed(bars)          # or ticks
    rows["curve"], rows["answers"]

Knows no files, clock or Ray. The engine is the one that runs live, fed in the same order; a rule sees what
the engine said at the end of a bar, and its account trades from the next one on. However the history is cut,
every row is the same to the last bit, and no row depends on what comes later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import bulk, state
from features.bars import Bars
from features.engine import SymbolEngine
from features.model_slots import CHAMPION, Model, Shelf, SlotScore
from features.ticks import Ticks
from features.trading.account import Account, Step
from features.trading.rules import Rule
from jobs.backtesting import result_tables
from jobs.backtesting.settings import BacktestSettings, VariantSpec

_SNAPSHOT_VERSION = 1


@dataclass(slots=True)
class Counts:
    """What a chain has been fed and has made, so far."""

    bars: int = 0
    first_ns: int = 0
    """End of the first bar."""
    last_ns: int = 0
    sessions: int = 0
    session: int = -1
    """Number of the newest one."""
    moves: int = 0
    """Bars whose reference price is not that of the bar before."""
    reference: float = 0.0
    """Of the newest bar."""
    known: int = 0
    """Bars with at least one feature known."""
    forecasts: int = 0
    answers: int = 0
    """Scored ones, over all horizons."""

    def add(self, block: bulk.Block) -> None:
        """Count what a block holds."""
        m = len(block.bars)
        if not m:
            return
        bars = block.bars
        references = np.concatenate(
            [[self.reference or bars.column("reference")[0]], bars.column("reference")]
        )
        self.moves += int(np.count_nonzero(np.diff(references)))
        self.reference = float(references[-1])
        self.sessions += int(np.count_nonzero(np.diff(bars.session, prepend=self.session)))
        self.session = int(bars.session[-1])
        self.first_ns = self.first_ns or int(bars.end_ns[0])
        self.last_ns = int(bars.end_ns[-1])
        self.bars += m
        self.known += int(np.count_nonzero(np.isfinite(block.features).any(axis=1)))
        self.forecasts += block.forecasts
        self.answers += int(np.count_nonzero(np.isfinite(block.answers.outcome)))


class Variant:
    """One rule with its account."""

    def __init__(self, spec: VariantSpec, rule: Rule, account: Account, costs: float = 0.0) -> None:
        self.spec = spec
        self.rule = rule
        self.account = account
        self.costs = costs
        """All that the account has paid so far, summed bar by bar."""

    def feed(self, block: bulk.Block, horizons: tuple[str, ...]) -> tuple[Step, NDArray[np.float64]]:
        """Trade the bars of a block; the account's step, and what it had paid by the end of each bar."""
        expected = block.expected[horizons.index(self.spec.horizon)] if self.spec.horizon else None
        first = self.account.totals.bars
        step = self.account.update(block.bars, self.rule.update(block.bars, expected))
        paid = np.zeros(1 + len(step))
        paid[0] = self.costs
        cost = step.fills["fee"] + step.fills["spread"] + step.fills["slippage"]
        np.add.at(paid, 1 + step.fills["bar"] - first, cost)
        costs = np.cumsum(paid)
        self.costs = float(costs[-1])
        return step, costs[1:]

    def snapshot(self) -> bytes:
        """The whole state."""
        blocks = {"rule": self.rule.snapshot(), "account": self.account.snapshot()}
        blocks["costs"] = state.pack_arrays(costs=np.array([self.costs]))
        return state.pack("variant", _SNAPSHOT_VERSION, self.spec.text, blocks)

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self.rule.digest().encode(), self.account.digest().encode())


class SymbolChain:
    """Engine, rules and accounts of one symbol. Not for several threads."""

    def __init__(self, settings: BacktestSettings, symbol: str, shelf: Shelf | None = None) -> None:
        """`shelf` has the models that swaps in a recorded stream name."""
        self.settings = settings
        self.symbol = symbol
        self.engine = SymbolEngine(settings.engine_spec(symbol), shelf)
        self.variants = [
            Variant(spec, Rule(spec.rule), Account(settings.trading)) for spec in settings.variants
        ]
        self.counts = Counts()

    def feed(self, batch: Ticks | Bars) -> tuple[bulk.Block, Mapping[str, pa.Table]]:
        """Feed the next piece of history; what the engine made of it, and rows of the result's tables.

        Raises DataError for bars that can't be: nothing of the piece counts then.
        """
        engine = self.engine
        block = bulk.feed(engine, batch) if isinstance(batch, Ticks) else bulk.run(engine, batch)
        horizons = engine.horizons
        rows: dict[str, list[pa.Table]] = {"curve": [], "fills": [], "trades": []}
        for variant in self.variants:
            name = variant.spec.text
            step, costs = variant.feed(block, horizons)
            rows["curve"].append(result_tables.curve(name, step, costs))
            rows["fills"].append(result_tables.records("fills", name, step.fills))
            rows["trades"].append(result_tables.records("trades", name, step.trips))
        self.counts.add(block)
        made = {name: pa.concat_tables(parts) for name, parts in rows.items()}
        return block, made | {"answers": result_tables.answers(block.answers, horizons)}

    def swap(self, version: int, model: Model) -> list[SlotScore]:
        """Make a trained model the champion from the next bar on; the scores of the one before it."""
        scores = [one for one in self.engine.models.scores() if one.score.model == CHAMPION]
        self.engine.swap(0, version, model)
        return scores

    def snapshot(self) -> bytes:
        """The whole state, to go on from."""
        blocks = {"engine": self.engine.snapshot(), "counts": json.dumps(asdict(self.counts)).encode()}
        blocks |= {f"variant{i}": variant.snapshot() for i, variant in enumerate(self.variants)}
        return state.pack("chain", _SNAPSHOT_VERSION, self.settings.digest(), blocks)

    @classmethod
    def restore(
        cls, settings: BacktestSettings, symbol: str, data: bytes, shelf: Shelf | None = None
    ) -> SymbolChain:
        """The chain as it was. Raises SnapshotError for damaged, newer or another chain's data."""
        blocks = state.unpack("chain", _SNAPSHOT_VERSION, settings.digest(), data)
        chain = cls(settings, symbol, shelf)
        chain.engine = SymbolEngine.restore(settings.engine_spec(symbol), blocks["engine"], shelf)
        chain.variants = [
            _restored(spec, settings, blocks[f"variant{i}"]) for i, spec in enumerate(settings.variants)
        ]
        chain.counts = Counts(**json.loads(blocks["counts"]))
        return chain


def _restored(spec: VariantSpec, settings: BacktestSettings, data: bytes) -> Variant:
    blocks = state.unpack("variant", _SNAPSHOT_VERSION, spec.text, data)
    costs = float(state.unpack_arrays(blocks["costs"])["costs"][0])
    rule = Rule.restore(spec.rule, blocks["rule"])
    return Variant(spec, rule, Account.restore(settings.trading, blocks["account"]), costs)

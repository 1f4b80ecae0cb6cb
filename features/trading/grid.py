"""Many rules on the same bars, an account for each: a grid search, or the variants of a sweep.

    grid = Grid([RuleSpec.parse(f"crossover:{fast},{slow}") for fast in ... for slow in ...], TradingSpec())
    for bars in history:
        grid.update(bars)
        equities.append(grid.equity)        # a row of the matrix that `overfitting` asks for
    grid.totals                             # one for each rule

Each account ends exactly where `Account` and `Rule` by themselves would. What makes it fast: bars are gone
through in pieces that stay in the processor's cache, a mean that several crossovers need is computed once,
and no curves are kept. Memory does not grow with the bars.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features import state
from features.bars import Bars
from features.errors import DataError, SnapshotError, SpecError
from features.kernels import rules as rule_kernel
from features.trading.account import Account, Totals
from features.trading.bootstrap import interval, resample_rows
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec

_SNAPSHOT_VERSION = 1
_PIECE = 8_192
"""Bars at a time: with the means of some dozen windows they fit into the second-level cache."""


class Grid:
    """Rules and their accounts over one stream of bars. Not for several threads."""

    def __init__(self, rules: Sequence[RuleSpec], spec: TradingSpec) -> None:
        if not rules:
            raise SpecError("no rules are given", "grid", 'name one, for example "crossover:20,100"')
        self.rules, self.spec = tuple(rules), spec
        self._accounts = [Account(spec) for _ in rules]
        crossing = [rule for rule in rules if rule.name == "crossover"]
        self._means = {int(n): _new_mean(int(n)) for rule in crossing for n in rule.args[:2]}
        self._single = {at: Rule(rule) for at, rule in enumerate(rules) if rule.name != "crossover"}

    def update(self, bars: Bars, expected: ArrayLike | None = None) -> None:
        """Trade m bars, oldest first; `expected` (m,) is for rules that need forecasts.

        Raises DataError where it is missing or of another length, and takes in none.
        """
        forecasts = None if expected is None else np.require(expected, np.float64, ["C", "W"])
        needy = next((rule.text for rule in self.rules if rule.needs_forecast), "")
        if needy and (forecasts is None or forecasts.shape != (len(bars),)):
            raise DataError(f"{needy} needs expected returns", "grid", "give one for each bar")
        for first in range(0, len(bars), _PIECE):
            piece = slice(first, first + _PIECE)
            self._trade(bars[piece], None if forecasts is None else forecasts[piece])

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts, in the order of the rules. To be read, not fed."""
        return tuple(self._accounts)

    @property
    def totals(self) -> list[Totals]:
        """What each account came to so far, in the order of the rules."""
        return [account.totals for account in self._accounts]

    @property
    def equity(self) -> NDArray[np.float64]:
        """Equity of each account at the end of the newest bar, (k,)."""
        return np.array([account.equity for account in self._accounts])

    def snapshot(self) -> bytes:
        """The whole state, to be restored by a grid of the same rules and spec."""
        blocks = {f"account{at}": account.snapshot() for at, account in enumerate(self._accounts)}
        blocks |= {f"rule{at}": rule.snapshot() for at, rule in self._single.items()}
        blocks["means"] = state.pack_arrays(**{str(n): kept for n, kept in self._means.items()})
        return state.pack("grid", _SNAPSHOT_VERSION, self._identity(), blocks)

    @classmethod
    def restore(cls, rules: Sequence[RuleSpec], spec: TradingSpec, data: bytes) -> Grid:
        """The grid as it was. Raises SnapshotError for damaged, newer or another grid's data."""
        grid = cls(rules, spec)
        blocks = state.unpack("grid", _SNAPSHOT_VERSION, grid._identity(), data)
        means = {int(n): kept for n, kept in state.unpack_arrays(blocks["means"]).items()}
        if {n: kept.shape for n, kept in means.items()} != {n: kept.shape for n, kept in grid._means.items()}:
            raise SnapshotError("its state has another size", "grid")
        grid._means = means
        grid._accounts = [Account.restore(spec, blocks[f"account{at}"]) for at in range(len(rules))]
        grid._single = {at: Rule.restore(rules[at], blocks[f"rule{at}"]) for at in grid._single}
        return grid

    def digest(self) -> str:
        """Hash of the state."""
        parts = [account.digest() for account in self._accounts]
        parts += [rule.digest() for rule in self._single.values()]
        return state.digest(*(part.encode() for part in parts), *(m.tobytes() for m in self._means.values()))

    def _trade(self, bars: Bars, expected: NDArray[np.float64] | None) -> None:
        session, close = (
            np.require(bars.session, None, ["C", "W"]),
            np.require(bars.column("close"), None, ["C", "W"]),
        )
        means = {}
        for n, kept in self._means.items():
            means[n] = np.empty(len(bars))
            rule_kernel.means(n, kept, session, close, means[n])
        targets = np.empty(len(bars))
        for at, (rule, account) in enumerate(zip(self.rules, self._accounts, strict=True)):
            if at in self._single:
                account.update(bars, self._single[at].update(bars, expected), curve=False)
                continue
            fast, slow, band = rule.args
            rule_kernel.sides(means[int(fast)], means[int(slow)], band, targets)
            account.update(bars, targets, curve=False)

    def _identity(self) -> str:
        text = "\n".join([self.spec.digest(), *(rule.text for rule in self.rules)])
        return hashlib.sha256(text.encode()).hexdigest()


def _new_mean(n: int) -> NDArray[np.float64]:
    kept = np.zeros(4 + n)
    kept[1] = kept[3] = math.nan
    return kept


def warm_up() -> None:
    """Compile the kernels of rules, accounts and resamples, or read them from numba's cache."""
    texts = ("long", "crossover:1,2", "ema_crossover:1,2", "momentum:1", "reversal:1,2")
    rules = [RuleSpec.parse(text) for text in (*texts, "forecast:1", "forecast_size:1")]
    ends = np.arange(1, 9, dtype=np.int64) * 1_000_000_000
    bars = Bars.from_columns(ends - 1_000_000_000, ends, close=[1.0, 2.0, 1.5, 1.0, 3.0, 2.0, 2.5, 2.0])
    for spec in (TradingSpec(), TradingSpec(sizing="units:1")):
        Grid(rules, spec).update(bars, np.zeros(8))
    Rule(rules[1]).update(bars)
    interval(bars.column("close"))
    resample_rows(8, 2.0, 0, 0)

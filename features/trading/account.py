"""A simulated account: bars and target positions in, an equity curve, fills and round trips out.

    account = Account(TradingSpec())
    step = account.update(bars, rule.update(bars))
    step.column("equity")       # at the end of each bar
    step.fills, step.trips      # what was bought and sold, and the round trips that ended

A target is between -1 and 1: which share of the full size to hold, below zero short. It is what is known
at the end of its bar; NaN means no decision, so the one before stays. An order arises only where the target
changes. Rules and formulas: docs/trading.md. However bars are cut into batches, the result is the same to
the last bit, and no bar's row depends on a later bar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features import state
from features.bars import Bars
from features.errors import DataError, SnapshotError
from features.kernels import trading as kernel
from features.trading.spec import TradingSpec

CURVE_COLUMNS = ("price", "position", "cash", "equity")
"""Rows of `Step.curve`, at the end of each bar: the price that positions are valued at, units held (below 0
short), cash, and cash plus the position's value. The price is NaN until there was one."""
FILL: np.dtype[np.void] = kernel.FILL
"""One fill: `bar` counts from the account's first, 0; `units` above 0 were bought; `price` is after spread
and slippage, whose cost is in `spread` and `slippage`; `fee` comes on top. Money is in quote currency."""
TRIP: np.dtype[np.void] = kernel.TRIP
"""One round trip, from flat to flat or to the other side: `size` is the largest position, prices are means
over its fills, `pnl` is after all costs (fees, spread and slippage: `costs`), `bars` those it was held at the
end of."""
_SNAPSHOT_VERSION = 1
_ROOM = 1024
_USED = ("open", "close", "bid", "ask", "filled")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What m bars brought: `end_ns` int64 (m,), `curve` float64 (4, m), `fills` and `trips` tables."""

    end_ns: NDArray[np.int64]
    curve: NDArray[np.float64]
    fills: NDArray[np.void]
    trips: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.end_ns)

    def column(self, name: str) -> NDArray[np.float64]:
        """One of `CURVE_COLUMNS`, shape (m,)."""
        column: NDArray[np.float64] = self.curve[CURVE_COLUMNS.index(name)]
        return column

    @staticmethod
    def concat(parts: list[Step]) -> Step:
        """One step from several, in the order given."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            empty = np.zeros(0, np.int64)
            return Step(empty, np.zeros((kernel.N_CURVE, 0)), np.zeros(0, FILL), np.zeros(0, TRIP))
        return Step(
            np.concatenate([part.end_ns for part in parts]),
            np.concatenate([part.curve for part in parts], axis=1),
            np.concatenate([part.fills for part in parts]),
            np.concatenate([part.trips for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """An account's sums so far, in quote currency unless said otherwise."""

    bars: int
    equity: float
    position: float
    """Units held."""
    fills: int
    trips: int
    """Round trips that have ended."""
    wins: int
    gains: float
    losses: float
    """Sum of the losing round trips, above zero."""
    fees: float
    spread: float
    slippage: float
    traded: float
    """Value of all fills."""
    max_drawdown: float
    """Deepest fall of the equity from a peak at the end of a bar, as a share of the peak."""
    bars_exposed: int
    bars_unfillable: int
    """Bars in which an order waited because there was no price to fill it at."""
    ruined: bool
    """Whether the equity fell to zero or below: everything was closed and nothing trades any more."""


class Account:
    """Fills targets and keeps the books. Not for several threads."""

    def __init__(self, spec: TradingSpec) -> None:
        self.spec = spec
        self._floats = np.zeros(kernel.WAITING + spec.latency_bars)
        self._floats[kernel.CASH] = self._floats[kernel.PEAK] = spec.capital
        self._floats[kernel.MARK] = self._floats[kernel.MARK_HALF] = math.nan
        self._ints = np.zeros(kernel.N_INTS, np.int64)
        self._rules = _kernel_rules(spec)
        self._fills, self._trips = np.empty(_ROOM, FILL), np.empty(_ROOM, TRIP)

    def update(self, bars: Bars, targets: ArrayLike, curve: bool = True) -> Step:
        """Trade m bars, oldest first, on m targets; returns what they brought.

        Without `curve` only fills and round trips are returned; `totals` adds up the rest. Raises DataError
        for another number of targets, and takes in none.
        """
        wanted = np.require(targets, np.float64, ["C", "W"])
        if wanted.shape != (len(bars),):
            raise DataError(f"targets have shape {wanted.shape}, not ({len(bars)},)", "trading")
        made = np.empty((kernel.N_CURVE, len(bars) if curve else 0))
        inputs = _kernel_inputs(bars)
        fills, trips, at = [], [], 0
        while at < len(bars):
            at, n_fills, n_trips = kernel.trade(
                self._rules, self._floats, self._ints, inputs, wanted, at, made, self._fills, self._trips
            )
            fills.append(self._fills[:n_fills].copy())
            trips.append(self._trips[:n_trips].copy())
        return Step(
            bars.end_ns if curve else bars.end_ns[:0], made, _joined(fills, FILL), _joined(trips, TRIP)
        )

    @property
    def equity(self) -> float:
        """Cash plus the value of the position at the end of the newest bar."""
        units = float(self._floats[kernel.HELD_UNITS])
        cash = float(self._floats[kernel.CASH])
        return cash + units * float(self._floats[kernel.MARK]) if units else cash

    @property
    def totals(self) -> Totals:
        """All sums up to the newest bar."""
        f, k = self._floats, self._ints
        return Totals(
            bars=int(k[kernel.BARS]),
            equity=self.equity,
            position=float(f[kernel.HELD_UNITS]),
            fills=int(k[kernel.FILLS]),
            trips=int(k[kernel.TRIPS]),
            wins=int(k[kernel.WINS]),
            gains=float(f[kernel.GAINS]),
            losses=float(f[kernel.LOSSES]),
            fees=float(f[kernel.FEES]),
            spread=float(f[kernel.SPREAD]),
            slippage=float(f[kernel.SLIPPAGE]),
            traded=float(f[kernel.TRADED]),
            max_drawdown=float(f[kernel.DEEPEST]),
            bars_exposed=int(k[kernel.EXPOSED]),
            bars_unfillable=int(k[kernel.UNFILLABLE]),
            ruined=bool(k[kernel.RUINED]),
        )

    def snapshot(self) -> bytes:
        """The whole state, to be restored by an account of the same spec."""
        arrays = state.pack_arrays(floats=self._floats, ints=self._ints)
        return state.pack("account", _SNAPSHOT_VERSION, self.spec.digest(), {"arrays": arrays})

    @classmethod
    def restore(cls, spec: TradingSpec, data: bytes) -> Account:
        """The account as it was. Raises SnapshotError for damaged, newer or another account's data."""
        blocks = state.unpack("account", _SNAPSHOT_VERSION, spec.digest(), data)
        arrays = state.unpack_arrays(blocks["arrays"])
        account = cls(spec)
        if arrays["floats"].shape != account._floats.shape or arrays["ints"].shape != account._ints.shape:
            raise SnapshotError("its state has another size", "account")
        account._floats, account._ints = arrays["floats"], arrays["ints"]
        return account

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._floats.tobytes(), self._ints.tobytes())


def _kernel_rules(spec: TradingSpec) -> tuple[float, float, float, bool, int, bool, float, float, bool, bool]:
    """The settings in the kernel's order, costs as shares."""
    return (
        spec.fee_bps * 1e-4,
        spec.half_spread_bps * 1e-4,
        spec.slippage_bps * 1e-4,
        spec.use_book,
        spec.latency_bars,
        spec.by_capital,
        spec.size,
        spec.max_position,
        spec.allow_short,
        spec.flat_at_session_end,
    )


def _kernel_inputs(bars: Bars) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
    """The bar columns in the kernel's order, each in the one layout that it is compiled for."""
    times = (bars.start_ns, bars.end_ns, bars.session)
    columns = (bars.column(name) for name in _USED)
    return tuple(np.require(array, None, ["C", "W"]) for array in (*times, *columns))


def _joined(parts: list[NDArray[np.void]], kind: np.dtype[np.void]) -> NDArray[np.void]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, kind)

"""What goes wrong in a fault drill, and in which order.

It is drawn from a seed: a drill that found something can be repeated.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from features.errors import ConfigError

_PAUSE_S = (0.2, 2.0)
_MOST_TRADES = 5
_STORE_DOWN_S = 30.0
_EXCHANGE_AWAY_S = 2.0
_SHARE_OF_KILLS = 3
"""One fault in so many is the kill of an actor."""


class DrillKind(Enum):
    """What can go wrong in a drill."""

    KILL_ACTOR = "kill_actor"
    """The process of a symbol's actor gets SIGKILL."""
    KILL_SUPERVISOR = "kill_supervisor"
    """The process of the supervisor gets SIGKILL."""
    CUT_SOCKET = "cut_socket"
    """A connection that gets the symbol is cut without a close frame."""
    DROP = "drop"
    """`count` trades of the symbol are not sent."""
    DUPLICATE = "duplicate"
    """`count` trades of the symbol are sent twice."""
    REORDER = "reorder"
    """`count` trades of the symbol are sent after the next one."""
    MALFORMED = "malformed"
    """`count` trades of the symbol are sent as text that breaks off."""
    GARBLE = "garble"
    """`count` trades of the symbol are sent with prices and sizes that are no numbers."""
    STORE_DOWN = "store_down"
    """The object store is stopped for `seconds`, beside the faults that follow."""
    RESTART_EXCHANGE = "restart_exchange"
    """The exchange gets SIGKILL, is away for `seconds`, and carries on as if it had been there."""


PER_TRADE = (
    DrillKind.DROP,
    DrillKind.DUPLICATE,
    DrillKind.REORDER,
    DrillKind.MALFORMED,
    DrillKind.GARBLE,
)
_OF_A_SYMBOL = (*PER_TRADE, DrillKind.KILL_ACTOR, DrillKind.CUT_SOCKET)
_SECONDS = {DrillKind.STORE_DOWN: _STORE_DOWN_S, DrillKind.RESTART_EXCHANGE: _EXCHANGE_AWAY_S}


@dataclass(frozen=True, slots=True)
class DrillSpec:
    """Settings of a drill: the market that is played, and how much goes wrong meanwhile.

    The tape holds `seconds` of trades, `rate` a second and symbol on average. `faults` is the number of
    faults. With the store "folder" there is no server, and so no `STORE_DOWN`.
    """

    symbols: tuple[str, ...] = ("AAA", "BBB", "CCC", "DDD")
    seed: int = 0
    faults: int = 24
    seconds: float = 120.0
    rate: float = 50.0
    store: Literal["s3", "folder"] = "s3"

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ConfigError(f"symbols {list(self.symbols)} can't be used", fix="name each one once")
        if self.store not in ("s3", "folder"):
            raise ConfigError(f"store {self.store!r} is not known", fix='use "s3" or "folder"')
        if self.faults < len(self.kinds()):
            raise ConfigError(
                f"{self.faults} faults are too few: every kind occurs once",
                fix=f"give {len(self.kinds())} or more",
            )
        for name in ("seconds", "rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(
                    f"{name} {getattr(self, name)} can't be used", fix="give a number above zero"
                )

    def kinds(self) -> list[DrillKind]:
        """The kinds that occur."""
        return [kind for kind in DrillKind if kind is not DrillKind.STORE_DOWN or self.store == "s3"]


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a drill.

    It is carried out `pause_s` seconds after the one before. `symbol` is empty where it concerns all;
    `count` is the number of trades it acts on, `seconds` how long something is away.
    """

    kind: DrillKind
    pause_s: float
    symbol: str = ""
    count: int = 1
    seconds: float = 0.0


def plan(spec: DrillSpec) -> list[PlannedFault]:
    """All faults of a drill in order; the same for the same spec.

    Every kind occurs, about a third are kills of actors, shared evenly by the symbols. The store goes
    down once, in the first half, so that other faults happen meanwhile. Raises ConfigError when the
    pauses alone are longer than the tape.
    """
    draw = random.Random(spec.seed)
    victims = list(spec.symbols)
    draw.shuffle(victims)
    faults: list[PlannedFault] = []
    kills = 0
    for kind in _order(spec, draw):
        symbol = draw.choice(spec.symbols) if kind in _OF_A_SYMBOL else ""
        if kind is DrillKind.KILL_ACTOR:
            symbol, kills = victims[kills % len(victims)], kills + 1
        count = draw.randint(1, _MOST_TRADES) if kind in PER_TRADE else 1
        pause_s = round(draw.uniform(*_PAUSE_S), 3)
        faults.append(PlannedFault(kind, pause_s, symbol, count, _SECONDS.get(kind, 0.0)))
    _require_time(spec, faults)
    return faults


def _order(spec: DrillSpec, draw: random.Random) -> list[DrillKind]:
    """The kinds in random order, the store in the first half."""
    others = [k for k in spec.kinds() if k not in (DrillKind.KILL_ACTOR, DrillKind.STORE_DOWN)]
    stores = [DrillKind.STORE_DOWN] if spec.store == "s3" else []
    left = spec.faults - len(others) - len(stores)
    kills = max(1, min(left, round(spec.faults / _SHARE_OF_KILLS)))
    order = [*others, *[DrillKind.KILL_ACTOR] * kills, *draw.choices(others, k=left - kills)]
    draw.shuffle(order)
    for store in stores:
        order.insert(draw.randrange(spec.faults // 2), store)
    return order


def _require_time(spec: DrillSpec, faults: list[PlannedFault]) -> None:
    away_s = sum(fault.seconds for fault in faults if fault.kind is DrillKind.RESTART_EXCHANGE)
    needed_s = sum(fault.pause_s for fault in faults) + away_s
    if needed_s >= spec.seconds:
        raise ConfigError(
            f"the tape ends before the last fault: {len(faults)} faults take {needed_s:.0f} s and more",
            fix="give more seconds or fewer faults",
        )

"""Faults on a schedule: the text of `--faults`.

drop_connection@10s                      ten seconds after the first event
drop:symbol=BTCUSDT:count=5@5000trades   once 5000 trades are published
stall:seconds=3@20s, rest_down:seconds=2@30s
random:seed=7:every_s=15                 endless, seeded
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.exchange.faults import PER_TRADE, FaultKind, FaultSpec
from features.errors import ConfigError

_FIX = 'write it as KIND[:symbol=S][:count=N][:seconds=X]@10s or @5000trades, or "random:seed=1:every_s=30"'
_RANDOM_KINDS = (*PER_TRADE, FaultKind.STALL, FaultKind.DROP_CONNECTION, FaultKind.REST_DOWN)


@dataclass(frozen=True, slots=True)
class TimedFault:
    """A fault some seconds after the first event."""

    at_s: float
    spec: FaultSpec


@dataclass(frozen=True, slots=True)
class CountedFault:
    """A fault once so many trades (of all symbols) are published."""

    at_trades: int
    spec: FaultSpec


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """Faults without end: kinds, sizes and the gaps between them drawn from `seed`."""

    seed: int
    every_s: float

    def faults(self) -> Iterator[TimedFault]:
        """In order of time; the same for the same seed."""
        draw = random.Random(self.seed)
        at_s = 0.0
        while True:
            at_s += draw.expovariate(1.0 / self.every_s)
            kind = draw.choice(_RANDOM_KINDS)
            count = draw.randint(1, 5) if kind in PER_TRADE else 1
            yield TimedFault(at_s, FaultSpec(kind, count=count, seconds=draw.uniform(0.5, 3.0)))


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults of a `--faults` text, each list in order."""

    timed: tuple[TimedFault, ...] = ()
    counted: tuple[CountedFault, ...] = ()
    random: tuple[RandomFaults, ...] = ()

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """Read the text. Raises ConfigError with the part that can't be read."""
        timed: list[TimedFault] = []
        counted: list[CountedFault] = []
        endless: list[RandomFaults] = []
        for part in (part.strip() for part in text.split(",")):
            if not part:
                continue
            try:
                entry = _parse_entry(part)
            except ValueError:
                raise ConfigError("fault can't be read", where=part, fix=_FIX) from None
            except ConfigError as error:
                raise ConfigError(error.problem, where=part, fix=error.fix) from None
            match entry:
                case TimedFault():
                    timed.append(entry)
                case CountedFault():
                    counted.append(entry)
                case _:
                    endless.append(entry)
        return cls(
            tuple(sorted(timed, key=lambda fault: fault.at_s)),
            tuple(sorted(counted, key=lambda fault: fault.at_trades)),
            tuple(endless),
        )

    def specs(self) -> list[FaultSpec]:
        """The faults that are written out, for checks against what is traded."""
        return [*(fault.spec for fault in self.timed), *(fault.spec for fault in self.counted)]


def _parse_entry(text: str) -> TimedFault | CountedFault | RandomFaults:
    head, at, when = text.partition("@")
    kind, *pairs = head.split(":")
    options = dict(pair.split("=", 1) for pair in pairs)
    if kind == "random":
        if at or set(options) - {"seed", "every_s"}:
            raise ValueError(text)
        plan = RandomFaults(int(options.get("seed", "0")), float(options.get("every_s", "30")))
        if plan.every_s <= 0:
            raise ValueError(text)
        return plan
    fields: dict[str, Any] = {"kind": kind, **options}
    if "count" in fields:
        fields["count"] = int(fields["count"])
    if "seconds" in fields:
        fields["seconds"] = float(fields["seconds"])
    spec = FaultSpec.parse(fields)
    if when.endswith("trades"):
        return CountedFault(int(when.removesuffix("trades")), spec)
    if not when.endswith("s"):
        raise ValueError(text)
    return TimedFault(float(when.removesuffix("s")), spec)

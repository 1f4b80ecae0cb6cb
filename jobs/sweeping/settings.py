"""Everything that decides the result of a sweep, the periods that follow, and the identity of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from features import durations
from features.errors import ConfigError, SpecError
from features.trading.spec import TradingSpec
from features.walk_forward import WalkForwardSpec
from jobs.backtesting.settings import digest
from jobs.sweeping.space import Space

SKILL, SHARPE = "skill", "sharpe"
OBJECTIVES = (SKILL, SHARPE)
_LEAST_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """One sweep, whatever history it is run on. Raises ConfigError for what can't be."""

    space: Space
    trials: int = 50
    seed: int = 0
    round_trials: int = 10
    """Trials that are suggested at once, from what all earlier rounds have shown."""
    folds: int = 4
    walk_forward: WalkForwardSpec | None = None
    """None: `folds` equal periods over the second half of what is not held out, training on all before."""
    embargo: str = ""
    """Time between the last label of training and a test period; "": the longest horizon."""
    holdout: str = "0.2"
    """The period at the end that no trial sees: a duration or a share; "0" for none."""
    objective: str = SKILL
    trading: TradingSpec = field(default_factory=TradingSpec)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("trials", 1, 100_000),
            ("round_trials", 1, 10_000),
            ("folds", 1, 1_000),
            ("seed", 0, 2**31 - 1),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{getattr(self, name)} is not in [{least}, {most}]", f"--{name}")
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"unknown objective {self.objective!r}", "--objective", "use skill or sharpe")
        self.embargo_ns()
        self.holdout_ns(_LEAST_NS)

    def embargo_ns(self) -> int:
        """Length of the embargo. Raises SpecError."""
        if self.embargo == "0":
            return 0
        if self.embargo:
            return durations.parse_ns(self.embargo, "--embargo")
        return max(durations.parse_ns(str(one)) for one in self.space.horizon.values)

    def holdout_ns(self, span_ns: int) -> int:
        """Length of the held-out part of a span. Raises ConfigError."""
        try:
            share = float(self.holdout)
        except ValueError:
            try:
                return durations.parse_ns(self.holdout, "--holdout")
            except SpecError as error:
                raise ConfigError(error.problem, "--holdout", "write 14d, a share like 0.2, or 0") from None
        if not 0.0 <= share < 1.0:
            raise ConfigError(f"{share} is no share", "--holdout", "write 14d, a share like 0.2, or 0")
        return int(span_ns * share)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "space": self.space.as_dict(),
            "trials": self.trials,
            "seed": self.seed,
            "round_trials": self.round_trials,
            "folds": self.folds,
            "walk_forward": None if self.walk_forward is None else asdict(self.walk_forward),
            "embargo_ns": self.embargo_ns(),
            "holdout": self.holdout,
            "objective": self.objective,
            "trading": asdict(self.trading),
        }

    def run_id(self, history: Mapping[str, Any], data: Mapping[str, str]) -> str:
        """The identity of a run: 16 hex digits of its settings, its period and its data."""
        return digest({"settings": self.as_dict(), "history": dict(history), "data": dict(data)})[:16]


@dataclass(frozen=True, slots=True)
class Periods:
    """How the time of a sweep is divided; every period is [start, end) of the times of asking."""

    first_ns: int
    """When the first bar ends."""
    last_ns: int
    """When the last bar ends."""
    holdout_ns: int
    """Where the held-out period begins: trials see nothing from here on. After `last_ns`: there is none."""
    folds: tuple[tuple[int, int], ...]
    """What forecasts are scored in, one after the other without a gap."""
    embargo_ns: int
    window_ns: int = 0
    """Longest time before a fold that is trained on; 0: all."""

    @property
    def has_holdout(self) -> bool:
        """Whether anything is held out."""
        return self.holdout_ns <= self.last_ns

    @property
    def period(self) -> str:
        """What returns are taken over: days where the folds have 30 of them, else hours, else minutes."""
        return _period(self.folds[-1][1] - self.folds[0][0])


def _period(span_ns: int) -> str:
    for text in ("1d", "1h"):
        if span_ns >= 30 * durations.parse_ns(text):
            return text
    return "1m"


def periods_of(settings: SweepSettings, first_ns: int, last_ns: int) -> Periods:
    """The periods of a history from its first bar to its last. Raises ConfigError where nothing fits."""
    span_ns = last_ns - first_ns
    held_ns = settings.holdout_ns(span_ns)
    end_ns = last_ns - held_ns if held_ns else last_ns + 1
    open_ns = end_ns - first_ns
    if open_ns < 2 * settings.folds:
        raise ConfigError("nothing is left before the held-out period", "--holdout", "hold out less")
    walk = settings.walk_forward
    if walk is None:
        train_ns = open_ns // 2
        walk = WalkForwardSpec(train_ns, max(1, -(-(open_ns - train_ns) // settings.folds)))
    folds = []
    start = first_ns + walk.train_ns
    while start < end_ns:
        folds.append((start, min(start + walk.test_ns, end_ns)))
        start += walk.test_ns
    if not folds:
        raise ConfigError(
            f"training takes {durations.text(walk.train_ns)}: all that is there before the held-out period",
            "--walk-forward",
            "train on less, or hold out less",
        )
    embargo_ns = walk.embargo_ns or settings.embargo_ns()
    return Periods(first_ns, last_ns, end_ns, tuple(folds), embargo_ns, walk.train_ns if walk.rolling else 0)

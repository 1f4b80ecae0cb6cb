"""Walk-forward splits: train on the past, test on what comes next, and nothing of it in between.

    for split in splits(made_at_ns, due_ns, WalkForwardSpec.parse("train:30d,test:7d")):
        rows[split.train], rows[split.test]

A row is made at one time and its label is known at another, when it is due. A row whose label reaches into
the test period has seen prices of it: it is purged. An embargo leaves out some time more, for what hangs on
longer than a label. Source: López de Prado 2018, "Advances in financial machine learning", chapter 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import durations
from features.errors import SpecError

Ints = NDArray[np.int64]
_USAGE = 'write it like "train:30d,test:7d", with "rolling" and "embargo:1h" where wanted'


@dataclass(frozen=True, slots=True)
class WalkForwardSpec:
    """Test periods one after the other, each with the training period before it."""

    train_ns: int
    """Length of the first training period; of every one where `rolling`."""
    test_ns: int
    rolling: bool = False
    """Else training begins at the first row always, and grows."""
    embargo_ns: int = 0
    """Time between the last label of training and the test period."""

    def __post_init__(self) -> None:
        if self.train_ns < 1 or self.test_ns < 1 or self.embargo_ns < 0:
            raise SpecError("train and test are not both above zero, or embargo is below", "walk forward")

    @classmethod
    def parse(cls, text: str) -> WalkForwardSpec:
        """Read "train:30d,test:7d,embargo:1h,rolling". Raises SpecError."""
        found: dict[str, int] = {}
        rolling = False
        for word in text.split(","):
            name, colon, value = word.strip().partition(":")
            if name == "rolling" and not colon:
                rolling = True
            elif name in ("train", "test", "embargo") and name not in found:
                found[name] = durations.parse_ns(value, "walk forward")
            else:
                raise SpecError(f"{word.strip()!r} in {text!r} can't be read", "walk forward", _USAGE)
        if not {"train", "test"} <= set(found):
            raise SpecError(f"{text!r} has no length of training or test", "walk forward", _USAGE)
        return cls(found["train"], found["test"], rolling, found.get("embargo", 0))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Places of the rows to train on and of those to test on, in their order."""

    train: Ints
    test: Ints
    start_ns: int
    """The test period, [start, end)."""
    end_ns: int


def splits(made_at_ns: Ints, due_ns: Ints, spec: WalkForwardSpec) -> Iterator[Split]:
    """The splits of rows (n,) in any order, oldest test period first.

    Periods without a row to test on are left out; training may be empty where all rows were purged.
    """
    if not len(made_at_ns):
        return
    first, last = int(made_at_ns.min()), int(made_at_ns.max())
    start = first + spec.train_ns
    while start <= last:
        end = start + spec.test_ns
        test = (made_at_ns >= start) & (made_at_ns < end)
        if test.any():
            train = before(due_ns, start, spec.embargo_ns)
            if spec.rolling:
                train &= made_at_ns >= start - spec.train_ns
            yield Split(np.flatnonzero(train), np.flatnonzero(test), start, end)
        start = end


def before(due_ns: Ints, start_ns: int, embargo_ns: int = 0) -> NDArray[np.bool_]:
    """Which rows may be trained on when testing begins at `start_ns`: the label is over, and the embargo."""
    return due_ns < start_ns - embargo_ns


def purged_folds(made_at_ns: Ints, due_ns: Ints, folds: int, embargo_ns: int = 0) -> Iterator[Split]:
    """Cross-validation in time order: each of `folds` runs of rows is tested once, on a model of all others.

    Rows whose labels overlap those of the test rows are purged, on both sides, and rows made within the
    embargo after them. Raises SpecError for less than 2 folds.
    """
    if folds < 2:
        raise SpecError(f"{folds} folds are not at least 2", "folds")
    order = np.argsort(made_at_ns, kind="stable")
    for test in np.array_split(order, folds):
        if not len(test):
            continue
        start, end = int(made_at_ns[test].min()), int(due_ns[test].max())
        train = (due_ns < start) | (made_at_ns > end + embargo_ns)
        yield Split(np.flatnonzero(train), np.sort(test), start, end)

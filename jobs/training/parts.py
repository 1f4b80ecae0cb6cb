"""Rows in three parts by time: those to train on, those that say when to stop, those that judge.

parts = cut(rows, spec)
parts.train, parts.stop, parts.judge

No label of one part reaches into the next. Whoever chose the number of trees by some rows would flatter the
model by judging it on the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features import walk_forward
from features.dataset import Dataset
from features.errors import DataError
from jobs.training.spec import LEAST_ROWS, TrainSpec

_LEAST_PART = 20


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The rows of one horizon that have an outcome, sorted by time."""

    train: Dataset
    stop: Dataset
    judge: Dataset


def cut(rows: Dataset, spec: TrainSpec) -> Parts:
    """The parts of some rows, of one symbol or several. Raises DataError where there is nothing to learn."""
    rows = rows[rows.known]
    if len(rows) < LEAST_ROWS:
        raise DataError(f"{len(rows)} rows with an outcome are below {LEAST_ROWS}", "training")
    if not np.isfinite(rows.x).any():
        raise DataError("no feature has a value in any row", "training")
    if not rows.y.any():
        raise DataError("the price never moved", "training")
    rows = rows[np.argsort(rows.made_at_ns, kind="stable")]
    # By moments, not by the clock: a market that closes leaves much of the clock empty.
    moments = np.unique(rows.made_at_ns)
    stop_ns, judge_ns = (
        int(moments[-1 - min(int(len(moments) * spec.valid_fraction * share), len(moments) - 1)])
        for share in (1.0, 0.5)
    )
    made, due = rows.made_at_ns, rows.due_ns
    train = walk_forward.before(due, stop_ns, spec.embargo_ns)
    stop = (made >= stop_ns) & walk_forward.before(due, judge_ns, spec.embargo_ns)
    parts = Parts(rows[train], rows[stop], rows[made >= judge_ns])
    for name, part in (("train", parts.train), ("stop", parts.stop), ("judge", parts.judge)):
        if len(part) < _LEAST_PART:
            raise DataError(f"{len(part)} rows are left to {name} with", "training", "give a longer period")
    if not parts.train.y.any():
        raise DataError("the price never moved in what is trained on", "training")
    return parts

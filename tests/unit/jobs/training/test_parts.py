"""Three parts by time, nothing of one in the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.dataset import Dataset
from features.errors import DataError
from features.spec import FeatureSet
from jobs.training.parts import cut
from jobs.training.spec import TrainSpec
from tests.unit.jobs.training.rows import MINUTE_NS, prices, rows


def test_no_label_reaches_into_the_next_part() -> None:
    """For one symbol and for two whose rows are mixed, with and without an embargo."""
    one, two = rows(prices(2_000), 30), rows(prices(1_500, seed=1), 30)
    for data in (one, Dataset.concat([one, two])):
        for embargo in (0, 60 * MINUTE_NS):
            parts = cut(data, TrainSpec(valid_fraction=0.4, embargo_ns=embargo))
            assert parts.train.due_ns.max() < parts.stop.made_at_ns.min() - embargo
            assert parts.stop.due_ns.max() < parts.judge.made_at_ns.min() - embargo
            for part in (parts.train, parts.stop, parts.judge):
                assert (np.diff(part.made_at_ns) >= 0).all() and part.known.all()
            span = data.made_at_ns[data.known].max() - data.made_at_ns.min()
            judged = (parts.judge.made_at_ns.max() - parts.judge.made_at_ns.min()) / span
            assert abs(judged - 0.2) < 0.01


def test_why_there_is_nothing_to_learn() -> None:
    """In words that the result shows."""
    spec = TrainSpec()
    for data, why in (
        (rows(prices(0)), "0 rows with an outcome"),
        (rows(prices(11)), "1 rows with an outcome"),
        (rows(prices(100)), "below 200"),
        (rows(np.full(500, 3.0)), "the price never moved"),
        (rows(prices(500), features=FeatureSet.parse(["microprice"])), "no feature has a value"),
        (rows(np.concatenate([np.full(450, 3.0), prices(50)])), "never moved in what is trained on"),
    ):
        with pytest.raises(DataError, match=why):
            cut(data, spec)
    with pytest.raises(DataError, match="left to"):
        cut(rows(prices(300)), TrainSpec(valid_fraction=0.05))


def test_a_market_that_closes_leaves_rows_for_every_part() -> None:
    """Six hours a day for ten days: the last fifth of the clock begins in the night, the rows don't."""
    days = [rows(prices(360, seed=day)) for day in range(10)]
    shifted = [
        replace(one, made_at_ns=one.made_at_ns + at, due_ns=one.due_ns + at)
        for one, at in ((one, day * 1440 * MINUTE_NS) for day, one in enumerate(days))
    ]
    parts = cut(Dataset.concat(shifted), TrainSpec(valid_fraction=0.1))
    sizes = [len(part) for part in (parts.train, parts.stop, parts.judge)]
    assert sizes[0] > 3_000 and abs(sizes[1] - 180) < 10 and abs(sizes[2] - 180) < 10

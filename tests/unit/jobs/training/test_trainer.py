"""Training: what there is to learn is found, what there is not is not claimed, and equal is equal."""

from __future__ import annotations

import numpy as np
import pytest

from features.dataset import Dataset
from features.errors import ConfigError
from features.models.package import ModelPackage
from jobs.training import boosting
from jobs.training.data import Pooled
from jobs.training.spec import TrainSpec
from jobs.training.trainer import train
from tests.unit.jobs.training.rows import FEATURES, QUICK, prices, rows

LIBRARIES = ("xgboost", "lightgbm")


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_can_be_forecast_is_found(library: str) -> None:
    """A pull of 0.5 is a quarter of the variance; the interval keeps its coverage, the direction is known."""
    spec = TrainSpec(library=library, parameters=(("learning_rate", 0.2),), **QUICK)  # type: ignore[arg-type]
    data = rows(prices(6_000, pull=0.5))
    trained = train({"1m": data}, FEATURES, spec)
    found = trained.horizons["1m"]
    assert found["raw"]["skill"] > 0.15 and found["raw"]["skill_low"] > 0.1
    assert 0.7 < found["slope"]["trusted"] <= 1.0
    assert found["mean"]["skill"] > 0.15
    assert abs(found["interval"]["coverage"] - 0.9) < 0.05
    assert found["interval"]["pinball"] < found["interval"]["pinball_fixed"]
    assert found["up"]["brier"] < found["up"]["brier_fixed"]
    assert next(iter(found["importance"])) == "log_return:1"
    assert trained.package is not None
    said = trained.package.opinions("1m", data.x, data.scale)
    assert (said[:, 1] <= said[:, 0]).all() and (said[:, 0] <= said[:, 2]).all()
    assert trained.package.opinion("1m", data.x[50], float(data.scale[50])) == tuple(said[50])


@pytest.mark.parametrize("library", LIBRARIES)
def test_noise_is_the_naive_forecast(library: str) -> None:
    """Where nothing can be foreseen the mean is 0, or next to it, and hardly costs anything."""
    spec = TrainSpec(library=library, heads=("mean",), **QUICK)  # type: ignore[arg-type]
    found = [train({"5m": rows(prices(3_000, seed), 5)}, FEATURES, spec).horizons["5m"] for seed in range(5)]
    assert sum(one["slope"]["trusted"] == 0.0 for one in found) >= 4
    assert all(one["mean"]["skill"] > -0.01 for one in found)


@pytest.mark.parametrize("library", LIBRARIES)
def test_equal_rows_and_seed_give_an_equal_package(library: str) -> None:
    """Whatever the number of threads; another seed gives another one."""
    data = {"1m": rows(prices(600, pull=0.3))}
    quick = {"rounds": 8, "heads": ("mean", "up")}
    made = [
        train(data, FEATURES, TrainSpec(library=library, threads=threads, seed=seed, **quick)).package  # type: ignore[arg-type]
        for threads, seed in ((1, 0), (2, 0), (1, 1))
    ]
    one, same, other = (package.digest for package in made if package is not None)
    assert one == same != other


def test_a_pool_of_symbols() -> None:
    """Rows of all in one model, in units of each one's scale."""
    parts = [{"1m": rows(prices(1_500, seed, 0.5))} for seed in (1, 2, 3)]
    pool = Pooled(parts)
    assert list(pool) == ["1m"] and len(pool["1m"]) == sum(len(part["1m"]) for part in parts)
    spec = TrainSpec(heads=("mean",), parameters=(("learning_rate", 0.2),), **QUICK)  # type: ignore[arg-type]
    found = train(pool, FEATURES, spec).horizons["1m"]
    assert found["rows"] > 4_000 and found["raw"]["skill_low"] > 0.1 and found["overlap"] == 1


def test_horizons_without_rows_are_skipped() -> None:
    """The others are trained; without any there is no package, and a reason."""
    spec = TrainSpec(heads=("mean",), **QUICK)  # type: ignore[arg-type]
    still = rows(np.full(400, 2.0))
    trained = train({"1m": rows(prices(800)), "2m": still}, FEATURES, spec)
    assert trained.package is not None and list(trained.package.horizons) == ["1m"]
    assert trained.horizons["2m"] == {"rows": 390, "skipped": "the price never moved"}
    assert trained.skipped is None
    nothing = train({"2m": still}, FEATURES, spec)
    assert nothing.package is None and nothing.skipped == "2m: the price never moved"
    assert train({}, FEATURES, spec).skipped == "no horizon"


def test_odd_features_do_no_harm() -> None:
    """One that is never there, one that is beyond all numbers, one that never changes."""
    data = rows(prices(1_000))
    x = data.x.copy()
    x[:, 0], x[::2, 1], x[:, 2] = np.nan, np.inf, 1.0
    odd = Dataset(x, data.y, data.scale, data.made_at_ns, data.due_ns, data.session, data.answered)
    for library in LIBRARIES:
        trained = train({"1m": odd}, FEATURES, TrainSpec(library=library, **QUICK))  # type: ignore[arg-type]
        assert trained.package is not None
        again = ModelPackage.from_bytes(trained.package.to_bytes())
        assert all(np.isfinite(again.opinion("1m", x[0], 1e-3)))


def test_what_the_library_refuses_is_said() -> None:
    """A value that can't be is an error of the settings."""
    data = {"1m": rows(prices(500))}
    for library, name in (("xgboost", "subsample"), ("lightgbm", "num_leaves")):
        spec = TrainSpec(library=library, parameters=((name, -3),), **QUICK)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"{library} refuses"):
            train(data, FEATURES, spec)


def test_heads_learn_what_they_stand_for() -> None:
    """Ends of the interval by its coverage; a rise is an outcome above 0."""
    assert boosting.quantile(boosting.LOWER, 0.9) == pytest.approx(0.05)
    assert boosting.quantile(boosting.UPPER, 0.9) == pytest.approx(0.95)
    data = rows(prices(100))[:-1]
    assert np.array_equal(boosting.target("up", data), data.y > 0.0)
    assert np.array_equal(boosting.target("mean", data), data.target(), equal_nan=True)

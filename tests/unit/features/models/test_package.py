"""Model packages: opinions that don't cross, bytes that are checked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features import state
from features.errors import DataError, ModelRefused
from features.models.package import Heads, ModelPackage
from features.models.trees import LIGHTGBM, TreeEnsemble
from tests.unit.features.models.test_trees import COLUMNS, random_ensemble, stump


def package(slope: float = 0.5) -> ModelPackage:
    """Two horizons, one of them with all heads."""
    up = TreeEnsemble.build(LIGHTGBM, COLUMNS, [stump(0, 0.0, -1.0, 1.0)], 0.0, steepness=1.0)
    full = Heads(random_ensemble(1), random_ensemble(2, LIGHTGBM), random_ensemble(3), up, slope)
    probe = np.random.default_rng(4).standard_normal((30, 3))
    probe[::4, 1] = np.nan
    return ModelPackage("digest", COLUMNS, {"5m": full, "1h": Heads(random_ensemble(5))}, 0.9, probe)


def test_an_opinion_is_in_order_and_in_units_of_scale() -> None:
    """Heads that would cross are sorted; a row alone and among others says the same bits."""
    model = package()
    rows = np.random.default_rng(5).standard_normal((400, 3))
    scale = np.random.default_rng(6).uniform(1e-5, 1e-2, 400)
    many = model.opinions("5m", rows, scale)
    one = np.array([model.opinion("5m", row, float(s)) for row, s in zip(rows, scale, strict=True)])
    assert np.array_equal(many, one)
    expected, lower, upper, p_up = many.T
    assert (lower <= expected).all() and (expected <= upper).all() and ((p_up > 0) & (p_up < 1)).all()
    heads = model.horizons["5m"]
    assert heads.lower is not None and heads.upper is not None
    assert (heads.lower.predict(rows) > heads.upper.predict(rows)).any()  # there was something to sort
    assert np.array_equal(expected, 0.5 * heads.mean.predict(rows) * scale)


def test_what_was_not_trained_is_nan() -> None:
    """A mean alone has no interval and no direction."""
    expected, *others = package().opinion("1h", np.zeros(3), 1e-3)
    assert math.isfinite(expected) and all(math.isnan(x) for x in others)


def test_without_skill_it_says_nothing() -> None:
    """Slope 0 is the naive forecast, exactly."""
    assert package(slope=0.0).opinion("5m", np.ones(3), 1e-3)[0] == 0.0


def test_bytes_bring_it_back() -> None:
    """Equal opinions, equal digest, equal bytes."""
    model = package()
    again = ModelPackage.from_bytes(model.to_bytes())
    rows = np.random.default_rng(7).standard_normal((20, 3))
    for horizon in model.horizons:
        said = model.opinions(horizon, rows, np.ones(20))
        assert np.array_equal(again.opinions(horizon, rows, np.ones(20)), said, equal_nan=True)
    assert again.to_bytes() == model.to_bytes() and again.digest == model.digest
    assert again.digest != package(slope=0.25).digest
    assert (again.columns, again.feature_digest, again.coverage) == (COLUMNS, "digest", 0.9)
    assert list(again.horizons) == ["5m", "1h"]


def test_damage_is_refused() -> None:
    """One flipped bit anywhere, a part of the bytes, or none: with what to do about it."""
    data = package().to_bytes()
    for place in range(0, len(data), 997):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(ModelRefused, match="fetch it again"):
            ModelPackage.from_bytes(bytes(damaged))
    for part in (data[: len(data) // 2], b""):
        with pytest.raises(ModelRefused):
            ModelPackage.from_bytes(part)


def test_a_model_that_says_something_else_is_refused() -> None:
    """Bytes that are whole, but whose rows predict otherwise here than where they were packed."""
    data = package().to_bytes()
    blocks = state.unpack("model", 1, "", data)
    said = np.frombuffer(blocks["0.said"]).copy()
    said[0] = np.nextafter(said[0], 1.0)
    blocks["0.said"] = said.tobytes()
    with pytest.raises(ModelRefused, match="at 5m it says something else"):
        ModelPackage.from_bytes(state.pack("model", 1, "", blocks))
    blocks["0.said"] = said[:4].tobytes()
    with pytest.raises(ModelRefused, match="says something else"):
        ModelPackage.from_bytes(state.pack("model", 1, "", blocks))
    del blocks["0.mean"]
    with pytest.raises(ModelRefused, match="this is no model"):
        ModelPackage.from_bytes(state.pack("model", 1, "", blocks))


def test_what_can_not_be_packed() -> None:
    """No horizon, half an interval, a slope that shrinks nothing, trees of other columns."""
    mean, probe = random_ensemble(1), np.zeros((1, 3))
    other = TreeEnsemble.build(LIGHTGBM, ("a", "b"), [stump(0, 0.0, 1.0, 2.0)], 0.0)
    for horizons in (
        {},
        {"5m": Heads(mean, lower=mean)},
        {"5m": Heads(mean, slope=1.5)},
        {"5m": Heads(mean, slope=math.nan)},
        {"5m": Heads(other)},
    ):
        with pytest.raises(DataError):
            ModelPackage("digest", COLUMNS, horizons, 0.9, probe)

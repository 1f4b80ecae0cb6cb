"""The ledger keeps one honest score per model and horizon, and keeps it through a restart."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from features.errors import ConfigError, DataError, SnapshotError, UnknownHorizon
from features.ledger import Ledger, LedgerSpec

NAN = float("nan")
SPEC = LedgerSpec(("linear", "tree"), (1, 5), ("1s", "5s"), coverage=0.9, half_life=50.0)


def filled(answers: int = 80, spec: LedgerSpec = SPEC) -> Ledger:
    """A ledger with `answers` answers at each horizon."""
    ledger = Ledger(spec)
    record_more(ledger, answers)
    return ledger


def record_more(ledger: Ledger, answers: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(answers):
        for horizon in range(len(ledger.spec.horizons_bars)):
            said = 1e-4 * rng.standard_normal(len(ledger.spec.models))
            ledger.record(horizon, 1e-3 * rng.standard_normal(), said, said - 2e-3, said + 2e-3)


def resealed(body: bytes) -> bytes:
    """A snapshot with this body and the checksum that belongs to it."""
    return body + hashlib.sha256(body).digest()


def test_a_new_ledger_has_counts_of_zero_and_no_scores() -> None:
    for score in Ledger(SPEC).scores():
        assert (score.count, score.invalid, score.invalid_intervals, score.voided) == (0, 0, 0, 0)
        assert score.lifetime.weight == score.recent.sample == 0.0
        assert np.isnan(score.lifetime.mse)
        assert np.isnan(score.recent.r2)


def test_scores_come_horizon_by_horizon_with_the_names_of_the_spec() -> None:
    names = [(s.horizon, s.model, s.horizon_bars) for s in filled(3).scores()]
    assert names == [("1s", "linear", 1), ("1s", "tree", 1), ("5s", "linear", 5), ("5s", "tree", 5)]


def test_a_score_by_name_is_the_one_in_the_list() -> None:
    ledger = filled()
    assert ledger.score("tree", "5s") == ledger.scores()[3]
    assert ledger.score("tree", "5s") != ledger.scores()[2]


def test_an_answer_changes_no_other_horizon() -> None:
    ledger = filled()
    before = ledger.scores()
    ledger.record(1, 1e-3, [1e-3, -1e-3], [NAN, NAN], [NAN, NAN])
    after = ledger.scores()
    assert after[:2] == before[:2]
    assert after[2] != before[2]
    assert after[3] != before[3]


def test_models_at_one_horizon_do_not_mix() -> None:
    ledger = Ledger(SPEC)
    for _ in range(20):
        ledger.record(0, 1e-3, [1e-3, -1e-3], [NAN, NAN], [NAN, NAN])
    linear, tree = ledger.score("linear", "1s").lifetime, ledger.score("tree", "1s").lifetime
    assert (linear.mse, linear.r2, linear.hit_rate, linear.bias) == (0.0, 1.0, 1.0, 0.0)
    assert (tree.r2, tree.hit_rate) == (pytest.approx(-3.0), 0.0)
    assert tree.bias == pytest.approx(-2e-3)


def test_the_naive_forecast_itself_has_no_skill_and_no_significance() -> None:
    ledger = Ledger(SPEC)
    for outcome in 1e-3 * np.random.default_rng(1).standard_normal(100):
        ledger.record(0, outcome, [0.0, 0.0], [NAN, NAN], [NAN, NAN])
    lifetime = ledger.score("linear", "1s").lifetime
    assert (lifetime.r2, lifetime.mse, lifetime.mae) == (0.0, lifetime.mse_naive, lifetime.mae_naive)
    assert np.isnan(lifetime.dm)
    assert np.isnan(lifetime.skill_low)


@pytest.mark.parametrize("fault", [NAN, float("inf"), -float("inf"), 1e9])
def test_an_unusable_forecast_counts_as_invalid_for_its_model_alone(fault: float) -> None:
    ledger = filled()
    before = ledger.score("tree", "1s")
    ledger.record(0, 1e-3, [1e-3, fault], [NAN, NAN], [NAN, NAN])
    assert ledger.score("tree", "1s") == replace(before, invalid=1)
    assert (ledger.score("linear", "1s").count, ledger.score("linear", "1s").invalid) == (81, 0)


@pytest.mark.parametrize("fault", [NAN, float("inf"), -1e9])
def test_an_unusable_outcome_voids_the_question(fault: float) -> None:
    ledger = filled()
    before = ledger.score("linear", "1s")
    ledger.record(0, fault, [1e-3, NAN], [NAN, NAN], [NAN, NAN])
    assert ledger.score("linear", "1s") == replace(before, voided=1)
    assert (ledger.score("tree", "1s").voided, ledger.score("tree", "1s").invalid) == (1, 0)
    assert ledger.score("tree", "5s").voided == 0


@pytest.mark.parametrize(
    ("lower", "upper"), [(NAN, 1e-3), (-1e-3, NAN), (1e-3, -1e-3), (-1e-3, float("inf"))]
)
def test_a_broken_interval_is_counted_and_only_the_forecast_is_scored(lower: float, upper: float) -> None:
    ledger = filled()
    before = ledger.score("linear", "1s")
    ledger.record(0, 0.0, [1e-3, 1e-3], [lower, NAN], [upper, NAN])
    after = ledger.score("linear", "1s")
    assert (after.count, after.invalid_intervals) == (before.count + 1, 1)
    assert after.lifetime.interval_weight == before.lifetime.interval_weight
    assert after.lifetime.interval_score == before.lifetime.interval_score


def test_a_model_without_intervals_has_no_interval_scores_and_no_faults() -> None:
    ledger = Ledger(SPEC)
    ledger.record(0, 1e-3, [1e-3, 1e-3], [NAN, -1.0], [NAN, 1.0])
    linear = ledger.score("linear", "1s")
    assert linear.invalid_intervals == 0
    for name in ("coverage", "mean_width", "pinball_lower", "pinball_upper", "interval_score"):
        assert np.isnan(getattr(linear.lifetime, name))
        assert np.isfinite(getattr(ledger.score("tree", "1s").lifetime, name))


def test_voided_questions_are_counted_per_horizon() -> None:
    ledger = Ledger(SPEC)
    ledger.void(1, 7)
    ledger.void(1)
    ledger.void(0, 0)
    assert [score.voided for score in ledger.scores()] == [0, 0, 8, 8]


def test_any_float_type_or_stride_gives_the_same_bits() -> None:
    wide = np.arange(12, dtype=np.float32).reshape(2, 6) / 1024.0
    wide.setflags(write=False)
    plain, strided = Ledger(SPEC), Ledger(SPEC)
    plain.record(0, 0.25, wide[:, 0].tolist(), wide[:, 2].tolist(), wide[:, 4].tolist())
    strided.record(0, np.float32(0.25), wide[:, 0], wide[:, 2], wide[:, 4])
    assert plain.digest() == strided.digest()
    assert plain.score("tree", "1s").count == 1


def test_the_memory_does_not_grow() -> None:
    assert len(Ledger(SPEC).snapshot()) == len(filled(500).snapshot())


def test_early_answers_fade_from_the_recent_scores_only() -> None:
    ledger = Ledger(replace(SPEC, half_life=5.0))
    for _ in range(50):
        ledger.record(0, 1e-3, [-1e-3, NAN], [NAN, NAN], [NAN, NAN])
    for _ in range(50):
        ledger.record(0, 1e-3, [1e-3, NAN], [NAN, NAN], [NAN, NAN])
    score = ledger.score("linear", "1s")
    assert score.lifetime.hit_rate == pytest.approx(0.5)
    assert score.recent.hit_rate == pytest.approx(1.0 - 0.5**10, abs=1e-6)
    assert score.recent.sample < 15.0


def test_significance_waits_for_ten_horizons_of_answers() -> None:
    ledger = filled(49)
    assert np.isfinite(ledger.score("linear", "1s").lifetime.dm_p)
    assert np.isnan(ledger.score("linear", "5s").lifetime.dm_p)
    record_more(ledger, 1)
    assert np.isfinite(ledger.score("linear", "5s").lifetime.dm_p)


def test_a_score_as_dict_is_json_with_none_for_what_is_missing() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    empty = json.loads(json.dumps(Ledger(SPEC).scores()[0].as_dict()), parse_constant=refuse)
    assert empty["lifetime"]["mse"] is None
    full = json.loads(json.dumps(filled().score("tree", "1s").as_dict()), parse_constant=refuse)
    assert (full["model"], full["horizon"], full["count"]) == ("tree", "1s", 80)
    assert full["recent"]["r2"] == filled().score("tree", "1s").recent.r2


def test_a_restored_ledger_has_the_same_scores_and_goes_on_the_same() -> None:
    straight = filled()
    restored = Ledger.restore(SPEC, straight.snapshot())
    assert restored.digest() == straight.digest()
    for ledger in (straight, restored):
        record_more(ledger, 30, seed=5)
        ledger.void(1, 2)
    assert restored.digest() == straight.digest()
    assert restored.snapshot() == straight.snapshot()


def test_a_copy_or_a_pickle_is_a_ledger_of_its_own() -> None:
    ledger = filled()
    for twin in (copy.deepcopy(ledger), pickle.loads(pickle.dumps(ledger))):
        assert twin.digest() == ledger.digest()
        before = ledger.digest()
        record_more(twin, 1)
        assert twin.digest() != before == ledger.digest()
        assert twin.score("tree", "5s").count == 81


def test_one_bit_of_damage_anywhere_is_noticed() -> None:
    data = filled().snapshot()
    for place in (0, 4, 6, 40, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(SnapshotError, match="damaged"):
            Ledger.restore(SPEC, bytes(broken))


@pytest.mark.parametrize("length", [0, 10, 40, 500])
def test_a_snapshot_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        Ledger.restore(SPEC, filled().snapshot()[:length])


def test_a_newer_snapshot_is_named_as_such() -> None:
    body = filled().snapshot()[:-32]
    with pytest.raises(SnapshotError, match="version 7 is newer than 1"):
        Ledger.restore(SPEC, resealed(body[:4] + b"\x07\x00" + body[6:]))


def test_data_of_another_kind_are_no_ledger_snapshot() -> None:
    with pytest.raises(SnapshotError, match="no ledger snapshot"):
        Ledger.restore(SPEC, resealed(b"PAR1" + filled().snapshot()[4:-32]))


def test_a_snapshot_of_another_size_is_refused() -> None:
    with pytest.raises(SnapshotError, match="another size"):
        Ledger.restore(SPEC, resealed(filled().snapshot()[:-40]))


@pytest.mark.parametrize(
    "change",
    [
        {"models": ("tree", "linear")},
        {"horizons_bars": (1, 6)},
        {"horizon_names": ("1s", "6s")},
        {"coverage": 0.8},
        {"half_life": 51.0},
        {"lag_spans": 2},
    ],
)
def test_a_snapshot_of_another_spec_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SnapshotError, match="another spec"):
        Ledger.restore(replace(SPEC, **change), filled().snapshot())


def test_a_whole_number_as_half_life_is_the_same_spec() -> None:
    ledger = Ledger.restore(replace(SPEC, half_life=50), filled().snapshot())
    record_more(ledger, 1)
    assert ledger.score("tree", "5s").count == 81


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"models": ()}, "ledger.models"),
        ({"models": ("a", "a")}, "ledger.models"),
        ({"horizon_names": ("1s",)}, "ledger.horizon_names"),
        ({"horizon_names": ("1s", "1s")}, "ledger.horizon_names"),
        ({"horizons_bars": (0, 5)}, "ledger.horizons_bars"),
        ({"horizons_bars": (1.5, 5)}, "ledger.horizons_bars"),
        ({"coverage": 1.0}, "ledger.coverage"),
        ({"coverage": NAN}, "ledger.coverage"),
        ({"half_life": 0.0}, "ledger.half_life"),
        ({"half_life": float("inf")}, "ledger.half_life"),
        ({"lag_spans": 0}, "ledger.lag_spans"),
        ({"lag_spans": 6}, "ledger.lag_spans"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_by_place(change: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SPEC, **change)
    assert caught.value.where == where


def test_columns_of_another_length_are_refused_and_change_nothing() -> None:
    ledger = filled()
    before = ledger.digest()
    for columns in (
        ([0.0], [0.0], [0.0]),
        ([0.0, 0.0], [0.0, 0.0], [0.0]),
        ([0.0] * 3, [0.0] * 3, [0.0] * 3),
    ):
        with pytest.raises(DataError, match="all 2 models"):
            ledger.record(0, 0.0, *columns)
    assert ledger.digest() == before


def test_unknown_horizons_and_models_are_named_with_the_known_ones() -> None:
    ledger = Ledger(SPEC)
    with pytest.raises(UnknownHorizon, match="1s, 5s"):
        ledger.score("tree", "9s")
    with pytest.raises(DataError, match="linear, tree"):
        ledger.score("forest", "1s")
    for horizon in (-1, 2):
        with pytest.raises(DataError, match="0 to 1"):
            ledger.record(horizon, 0.0, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
        with pytest.raises(DataError, match="0 to 1"):
            ledger.void(horizon)
    with pytest.raises(DataError, match="-3 questions"):
        ledger.void(0, -3)

"""The gate lets through what is better beyond chance, and nothing else."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from features.errors import ConfigError
from features.ledger import Ledger, LedgerSpec
from features.model_slots import Duel
from jobs.promotion.gate import Finding, GateSpec, Judgement, judge

SPEC = GateSpec(0.05, 500)


def duels(n: int, *edges: float, seed: int = 0) -> list[Duel]:
    """Duels at as many horizons, whose challenger knows so much of what the champion leaves open."""
    random = np.random.default_rng(seed)
    names = tuple(f"{h + 1}s" for h in range(len(edges)))
    book = Ledger(LedgerSpec(("model",), (1,) * len(edges), names, 0.9, 1000.0))
    for horizon, edge in enumerate(edges):
        signal, noise = random.standard_normal((2, n))
        for known, rest in zip(1e-4 * signal, 1e-4 * noise, strict=True):
            said = known * abs(edge) if edge >= 0.0 else edge * known
            book.record(horizon, known * abs(edge) + rest, [said], [math.nan], [math.nan])
    return [Duel(7, 3, score) for score in book.scores()]


def test_a_challenger_that_is_better_passes() -> None:
    found = judge(duels(2_000, 0.3, 0.0), 3, SPEC, "somewhere")
    assert found.passed
    assert found.reason == "it is better than the champion at 1s"
    assert found.findings[0].saved > 0.05
    assert found.findings[0].p_better < 0.001


def test_one_that_is_no_better_is_refused_with_the_numbers() -> None:
    found = judge(duels(2_000, 0.0, 0.0), 3, SPEC)
    assert (found.passed, found.champion) == (False, 3)
    assert "not better beyond chance at any horizon: no p below 0.025" in found.reason
    assert [one.answers for one in found.findings] == [2_000, 2_000]
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_that_is_worse_anywhere_is_refused() -> None:
    found = judge(duels(2_000, 0.3, -0.2), 3, SPEC)
    assert not found.passed
    assert found.reason == "it is worse than the champion at 2s"


def test_too_few_answers_are_no_evidence() -> None:
    found = judge(duels(499, 0.5), 3, SPEC)
    assert not found.passed
    assert found.reason == "too few answers yet: 1s 499; 500 are asked for"
    assert judge([], 3, SPEC).reason == "it has not been compared with the champion at any horizon"


def test_several_horizons_are_several_chances_to_be_lucky() -> None:
    """A p between level / horizons and level passes alone, and not as one of many."""
    for seed in range(60):
        alone = duels(600, 0.05, seed=seed)
        if 0.05 / 3 < Finding.of(alone[0]).p_better < 0.05:
            break
    others = [one for one in duels(600, 0.05, 0.0, 0.0, seed=seed) if one.score.horizon != "1s"]
    assert judge(alone, 3, SPEC).passed
    assert not judge([*alone, *others], 3, SPEC).passed


def test_without_skill_few_pass() -> None:
    passed = sum(judge(duels(600, 0.0, 0.0, seed=seed), 0, SPEC).passed for seed in range(100))
    assert passed <= 10  # 5 % are to be expected


def test_what_cannot_be_told_is_no_pass() -> None:
    """Forecasts that are equal to the champion's: no spread, no statistic."""
    book = Ledger(LedgerSpec(("model",), (1,), ("1s",), 0.9, 1000.0))
    for outcome in np.random.default_rng(0).standard_normal(600):
        book.record(0, 1e-4 * outcome, [0.0], [math.nan], [math.nan])
    found: Judgement = judge([Duel(7, 3, *book.scores())], 3, SPEC)
    assert not found.passed
    assert found.as_dict()["horizons"][0]["p_better"] is None


@pytest.mark.parametrize(
    ("changes", "says"), [({"level": 0.0}, "--level"), ({"min_answers": 0}, "--min-answers")]
)
def test_settings_that_cannot_be_used(changes: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        GateSpec(**changes)  # type: ignore[arg-type]

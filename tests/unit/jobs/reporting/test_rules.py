"""The sentences about trading rules."""

from __future__ import annotations

import pytest

from jobs.reporting import rules


@pytest.mark.parametrize(
    ("low", "high", "open_question"),
    [(-1.0, 2.0, True), (None, None, True), (0.5, 2.0, False), (-9.0, -5.0, False)],
)
def test_a_sharpe_ratio_is_called_unclear_only_where_its_interval_has_zero(
    low: float | None, high: float | None, open_question: bool
) -> None:
    best = {"rule": "long", "total_return": -0.1, "sharpe": -7.0, "sharpe_low": low, "sharpe_high": high}
    said = rules._best(best, {"best": None}, 1)
    assert said[0].startswith("long loses 10.00 % over all symbols")
    assert ("Its Sharpe ratio can't be told from 0." in said) == open_question

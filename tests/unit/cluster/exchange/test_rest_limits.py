"""The request weight limit."""

from __future__ import annotations

from cluster.exchange.rest_limits import Admission, WeightLimit


def test_weight_adds_up_within_a_minute_and_starts_anew_in_the_next():
    limit = WeightLimit(100)
    assert limit.admit(60, 120.0) == Admission(True, 60, 0)
    assert limit.admit(60, 130.5) == Admission(False, 60, 50)
    assert limit.admit(40, 179.9) == Admission(True, 100, 0)
    assert limit.admit(60, 180.0) == Admission(True, 60, 0)
    assert limit.refused == 1

"""When events are due."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cluster.exchange.pacing import Pacer, parse_speed
from features.errors import ConfigError

SECOND = 1_000_000_000


def test_due_times_are_event_times_over_speed():
    assert Pacer(4.0, None, 10 * SECOND).due_s(np.array([10, 12, 30]) * SECOND).tolist() == [0.0, 0.5, 5.0]


def test_idle_stretches_are_shortened_in_wall_time_and_order_is_kept_over_blocks():
    ts_ns = np.array([0, 10, 10, 1000, 1002]) * SECOND
    whole = Pacer(2.0, 3.0, 0).due_s(ts_ns)
    assert whole.tolist() == [0.0, 3.0, 3.0, 6.0, 7.0]
    pacer = Pacer(2.0, 3.0, 0)
    assert np.concatenate([pacer.due_s(ts_ns[:2]), pacer.due_s(ts_ns[2:])]).tolist() == whole.tolist()


def test_speeds_are_numbers_above_zero_or_max():
    assert (parse_speed("120"), parse_speed("0.5"), parse_speed("max")) == (120.0, 0.5, math.inf)
    for text in ("0", "-1", "fast", "inf", "nan"):
        with pytest.raises(ConfigError, match="speed"):
            parse_speed(text)

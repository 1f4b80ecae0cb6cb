"""Fixtures for tests of backtests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.jobs.backtesting.histories import Failing


@pytest.fixture
def store(tmp_path: Path) -> Failing:
    """An empty store."""
    made = Failing(tmp_path / "store")
    made.prepare()
    return made

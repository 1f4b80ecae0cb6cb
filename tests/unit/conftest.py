"""Unit tests may not start Ray."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def forbid_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ray.init` raise: what needs a cluster belongs in tests/local_ray."""
    import ray

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("unit tests may not start Ray; put this test in tests/local_ray")

    monkeypatch.setattr(ray, "init", refuse)

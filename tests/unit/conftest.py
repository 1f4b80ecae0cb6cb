"""Unit tests may not start Ray, and keep the priority of the process that runs them."""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def forbid_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ray.init` raise: what needs a cluster belongs in tests/local_ray."""
    import ray

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("unit tests may not start Ray; put this test in tests/local_ray")

    monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture(autouse=True)
def stay_as_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs give up their priority, and a process that has done so never gets it back."""
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: None, raising=False)

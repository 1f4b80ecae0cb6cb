"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real market data and recorded venue messages, beside the checkout.

    It is not part of the repository (licences); tests that read it are skipped where it is absent.
    """
    if not _SHARED.is_dir():
        pytest.skip("no ../shared folder with real market data beside this checkout")
    return _SHARED


@pytest.fixture(scope="session", autouse=True)
def stay_as_urgent() -> Iterator[None]:
    """Jobs give up their priority, and a process that has done so never gets it back: this one keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_setscheduler", lambda *given: None, raising=False)
        yield

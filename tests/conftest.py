"""Fixtures for every test."""

from __future__ import annotations

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

"""Numbers in the form that JSON has: None for what can't be said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def finite(value: float) -> float | None:
    """The number; None for NaN and infinity."""
    return value if math.isfinite(value) else None


def finite_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, with None for floats that are NaN or infinite."""
    return {name: finite(value) if isinstance(value, float) else value for name, value in values.items()}

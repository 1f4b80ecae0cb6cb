"""Durations as people write them: "250ms", "1s", "10s", "5m", "1h", "1d"."""

from __future__ import annotations

import re

from features.errors import SpecError

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_FORM = re.compile(r"([0-9]+)(ns|us|ms|s|m|h|d)")


def parse_ns(text: str, where: str = "") -> int:
    """Nanoseconds of a duration above zero; raises SpecError, naming `where`, if it is none."""
    match = _FORM.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise SpecError(
            f"{text!r} is not a duration", where, 'write for example "500ms", "10s", "5m" or "1h"'
        )
    return int(match[1]) * _UNITS[match[2]]


def text(ns: int) -> str:
    """The shortest way to write a whole number of nanoseconds; `parse_ns` reads it back."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if ns % _UNITS[unit] == 0:
            return f"{ns // _UNITS[unit]}{unit}"
    return f"{ns}ns"

"""Which code made something: the identity of our sources, as they are on disk."""

from __future__ import annotations

import functools
from pathlib import Path

from features import state

_ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def code_version(*packages: str) -> str:
    """16 hex digits of the Python sources of these packages; of all that jobs use, where none is named.

    It changes with every edit, committed or not, which no version number does.
    """
    parts = []
    for package in packages or ("features", "cluster", "jobs"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            parts += [path.relative_to(_ROOT).as_posix().encode(), path.read_bytes()]
    return state.digest(*parts)[:16]

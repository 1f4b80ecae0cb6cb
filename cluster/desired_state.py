"""What the supervisor must remember when it is restarted: which symbols, and where their logs are."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)


class Known(msgspec.Struct):
    """What is known of one symbol."""

    epoch: int = 0
    """Of its newest actor."""
    home: str = ""
    """Where that one has its log; empty while nobody knows."""
    node: str = ""
    """The Ray node that it was started on."""


class DesiredState(msgspec.Struct):
    """The symbols that shall be watched, and what is known of every symbol that ever was."""

    symbols: list[str] = []
    known: dict[str, Known] = {}

    def of(self, symbol: str) -> Known:
        """What is known of a symbol; kept from now on."""
        return self.known.setdefault(symbol, Known())


def load(path: Path) -> DesiredState:
    """The state in a file; an empty one where there is none. A damaged one is set aside and said so."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DesiredState)
    except FileNotFoundError:
        return DesiredState()
    except (OSError, msgspec.MsgspecError) as error:
        logger.warning("%s is set aside: %s", path, error)
        return DesiredState()


def save(path: Path, state: DesiredState) -> None:
    """Write the file, whole or not at all. A disk that takes nothing is not an error: it is only a hint."""
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(state))
        partial.replace(path)
    except OSError as error:
        logger.warning("%s can't be written: %s", path, error)

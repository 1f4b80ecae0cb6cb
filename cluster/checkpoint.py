"""A checkpoint: all that one symbol's actor has to remember, as of one place in its stream.

It holds the engine, the order of trades and the newest answers, each with an identity of its own: with
other engine settings a checkpoint still says which trades are known. Trained models are named, not held: they
may be megabytes, and are written far less often than checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

from features import state
from features.engine import SymbolEngine

_VERSION = 1
_KIND = "checkpoint"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of a checkpoint, each as its owner's snapshot."""

    engine: bytes
    order: bytes
    answers: bytes

    def pack(self) -> bytes:
        """One block of bytes with a checksum."""
        return state.pack(
            _KIND, _VERSION, "", {"engine": self.engine, "order": self.order, "answers": self.answers}
        )

    @classmethod
    def unpack(cls, data: bytes) -> Checkpoint:
        """What `pack` gave. Raises SnapshotError for damaged data, or those of a newer release."""
        return cls(**state.unpack(_KIND, _VERSION, "", data))

    @classmethod
    def of(cls, engine: SymbolEngine, order: bytes, answers: bytes) -> Checkpoint:
        """The state as it is now."""
        return cls(engine.snapshot(with_models=False), order, answers)

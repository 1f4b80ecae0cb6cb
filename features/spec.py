"""Feature specs: which features are computed, as written in the configuration.

feature_set = FeatureSet.parse(["ema:20", "rsi", "macd:12,26,9", "microprice"])
feature_set.columns     # ("ema:20", "rsi:14", "macd:12,26,9.line", ...)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.bars import BAR_COLUMNS
from features.definition import Args, Feature, number, read_args
from features.errors import SpecError
from features.kernels import opcodes

_UNCHECKED = {"bid", "ask", "bid_size", "ask_size", "last_buy", "last_sell", "last_side"}


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature and its arguments; those left out are filled in with their defaults.

    Raises SpecError for an unknown name or arguments that the feature doesn't take.
    """

    name: str
    args: Args = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", self.entry.complete(self.args))

    @classmethod
    def parse(cls, text: str) -> FeatureSpec:
        """Read "name" or "name:argument,argument"."""
        return cls(*read_args(text, "features", lambda name: catalogue.find(name).usage()))

    @property
    def entry(self) -> Feature:
        """What the catalogue says about it."""
        return catalogue.find(self.name)

    @property
    def text(self) -> str:
        """The canonical form: equal text, equal feature."""
        return f"{self.name}:{','.join(number(a) for a in self.args)}" if self.args else self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its outputs."""
        return tuple(f"{self.text}.{name}" if name else self.text for name in self.entry.outputs(self.args))

    @property
    def warm_bars(self) -> int:
        """Bars of a session up to and including the first one with a value."""
        return self.entry.warm_bars(self.args)


@dataclass(frozen=True)
class FeatureSet:
    """The features of a pipeline, in order."""

    specs: tuple[FeatureSpec, ...]

    def __post_init__(self) -> None:
        if not self.specs:
            raise SpecError("no features are given", "features", 'name one, for example "log_return:1"')
        seen: set[str] = set()
        for spec in self.specs:
            if spec.text in seen:
                raise SpecError(f"{spec.text!r} is given twice", "features", "leave one out")
            seen.add(spec.text)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> FeatureSet:
        """Read a list of specs. Raises SpecError for one that can't be read or is given twice."""
        return cls(tuple(FeatureSpec.parse(text) for text in texts))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix columns."""
        return tuple(column for spec in self.specs for column in spec.columns)

    @cached_property
    def digest(self) -> str:
        """Identity: equal digests give equal columns with equal values from equal bars."""
        text = "\n".join([f"kernels {opcodes.KERNEL_VERSION}", *(spec.text for spec in self.specs)])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def warm_bars(self) -> int:
        """Bars of a session up to and including the first one at which every feature is warm."""
        return max(spec.warm_bars for spec in self.specs)

    @cached_property
    def state_size(self) -> int:
        """Numbers in the state; it never grows."""
        return opcodes.STATE_HEAD + sum(spec.entry.state_size(spec.args) for spec in self.specs)

    def program(self) -> NDArray[np.float64]:
        """What `features.kernels.run` reads; its layout is in `features.kernels.opcodes`."""
        inputs = {name for spec in self.specs for name in spec.entry.inputs}
        rows = [row for row, name in enumerate(BAR_COLUMNS) if name in inputs - _UNCHECKED]
        program: list[float] = [len(self.specs), len(rows), *rows]
        at, column = opcodes.STATE_HEAD, 0
        for spec in self.specs:
            size = spec.entry.state_size(spec.args)
            args = (*spec.args, 0, 0, 0)[:3]
            program += [spec.entry.opcode, at, size, column, *args]
            at += size
            column += len(spec.columns)
        return np.array(program, dtype=np.float64)

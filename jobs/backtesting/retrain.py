"""Walk-forward training: at every boundary a new model, from the rows that are known by then.

spec = RetrainSpec.parse("every=7d,window=30d,embargo=1h,library=lightgbm")
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from features import durations
from features.errors import SpecError

_WHERE = "retrain"


@dataclass(frozen=True, slots=True)
class RetrainSpec:
    """When a batch model is trained anew, and on what. Raises SpecError for what can't be."""

    every_ns: int
    """Boundaries are the multiples of it since 1970 UTC."""
    window_ns: int
    """Rows are asked at most so long before the boundary."""
    embargo_ns: int = 0
    """Rows must be answered so long before the boundary."""
    library: str = "lightgbm"
    options: tuple[tuple[str, str], ...] = ()
    """Anything else, for the trainer."""

    @classmethod
    def parse(cls, text: str) -> RetrainSpec:
        """Read "every=7d,window=30d,embargo=1h,library=lightgbm,name=value"."""
        values: dict[str, object] = {}
        options: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals or not value or name in options or name in values:
                raise SpecError(f"{part!r} can't be read", _WHERE, "write name=value, each once")
            if f"{name}_ns" in {field.name for field in fields(cls)}:
                values[f"{name}_ns"] = durations.parse_ns(value, f"{_WHERE}.{name}")
            elif name == "library":
                values[name] = value
            else:
                options[name] = value
        for name in ("every", "window"):
            if f"{name}_ns" not in values:
                raise SpecError(f"{name} is missing", _WHERE, 'write for example "every=7d,window=30d"')
        return cls(**values, options=tuple(sorted(options.items())))  # type: ignore[arg-type]

"""Errors hold data, read well and cross process borders. The texts are part of the interface."""

from __future__ import annotations

import inspect
import pickle

import pytest

from features import errors
from features.errors import (
    ConfigError,
    DataError,
    ModelMissing,
    ModelRefused,
    NotWarm,
    SnapshotError,
    SpecError,
    TickcastError,
    UnknownHorizon,
    UnknownSymbol,
)

EXAMPLES = [
    (TickcastError("it broke"), "it broke"),
    (ConfigError("is 0", "bars.size", "use 1 or more"), "bars.size: is 0; use 1 or more"),
    (SpecError("no such feature", fix="see the list"), "no such feature; see the list"),
    (DataError("3 rows are missing", "ticks"), "ticks: 3 rows are missing"),
    (SnapshotError("it is damaged", "engine"), "engine: it is damaged"),
    (ModelRefused("a probe differs", "model 3"), "model 3: a probe differs"),
    (
        ModelMissing(3, "lake"),
        "lake: there is no model of version 3; publish it, or restore it from a backup",
    ),
    (UnknownSymbol("XYZ", ("A", "B")), "symbol 'XYZ' is not watched; use one of: A, B"),
    (UnknownSymbol("XYZ"), "symbol 'XYZ' is not watched; no symbol is watched yet"),
    (UnknownHorizon("3s", ("10s",)), "no forecast is made at horizon '3s'; use one of: 10s"),
    (
        NotWarm("BTCUSDT", 7.0, "3 of the first 10 bars have closed"),
        "BTCUSDT has no forecast yet: 3 of the first 10 bars have closed; ask again in 7 s",
    ),
]


@pytest.mark.parametrize(("error", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_says_where_what_and_what_to_do(error: TickcastError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in EXAMPLES], ids=lambda e: type(e).__name__)
def test_an_error_survives_pickling_with_its_data(error: TickcastError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_is_in_the_examples_and_in_the_tree() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    assert {type(error) for error, _ in EXAMPLES} == kinds
    for kind in kinds:
        assert issubclass(kind, TickcastError)
        assert kind.__name__ in (errors.__doc__ or "")
    assert issubclass(SpecError, ConfigError)

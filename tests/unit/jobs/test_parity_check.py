"""Stored live results and a batch run over the stored ticks are the same bits, swaps among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.registry import Registry
from cluster.storage.archiver import Archiver
from cluster.storage.compaction import compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import date_of
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.model_slots import Shelf
from jobs.parity_check import SymbolParity, check_symbol
from tests.unit.cluster import stream_logs
from tests.unit.cluster.stream_logs import Writer, stream, with_swaps
from tests.unit.features.slot_models import leaning

FOLDER = Path("binance/AAA")
SPEC = replace(stream_logs.SPEC, horizons=("1s",))
PLAIN = stream(900)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    return Lake(store)


def live(
    lake: Lake, folder: Path, shelf: Shelf | None, *swaps: tuple[int, int, int], size: int = 10
) -> Writer:
    """What an actor that swaps leaves in the lake."""
    ticks = with_swaps(PLAIN, *swaps)
    symbol = folder / FOLDER
    writer = (
        Writer(symbol, spec=SPEC, shelf=shelf)
        .take(ticks[:500], size)
        .checkpoint()
        .roll()
        .take(ticks[500:], size)
    )
    writer.log.close()
    Archiver(folder, lake, lambda: 0).run_once()
    return writer


def check(lake: Lake, start_ns: int | None = None) -> SymbolParity:
    return check_symbol(lake, "binance", "AAA", start_ns, None)


def test_a_stream_with_swaps_is_the_same_in_batch(lake: Lake, tmp_path: Path) -> None:
    registry = Registry(lake.store)
    for slope in (0.25, 0.1):
        registry.publish(leaning(SPEC, slope, feature="last_side"), {})
    shelf = {version: registry.load(version) for version in (1, 2)}
    swaps = ((100, 1, 2), (300, 0, 1), (700, 0, 2))
    live(lake, tmp_path / "log", _Taken(shelf), *swaps, size=7)
    found = check(lake)
    assert (found.problem, found.differences, found.ticks) == ("", 0, 903)
    assert found.rows["forecasts"] > 300
    versions = lake.read("forecasts", "binance", "AAA")["version"].to_pylist()
    assert sorted(set(versions)) == [0, 1, 2]
    marks = lake.read("marks", "binance", "AAA").to_pylist()
    assert [(m["sequence"], m["slot"], m["version"]) for m in marks if m["kind"] == "swap"] == list(swaps)
    compact_day(lake, "marks", "binance", "AAA", date_of(int(PLAIN.ts_ns[0])))
    assert check(lake).same
    # From a checkpoint in the middle, with the models that it names.
    middle = check(lake, int(PLAIN.ts_ns[600]))
    assert (middle.same, middle.ticks) == (True, 403)


def test_another_model_in_the_registry_is_a_difference(lake: Lake, tmp_path: Path) -> None:
    Registry(lake.store).publish(leaning(SPEC, -0.3, feature="last_side"), {})
    live(lake, tmp_path / "log", _Taken({1: leaning(SPEC, 0.25, feature="last_side")}), (100, 0, 1))
    assert check(lake).differences > 0


def test_a_model_that_is_gone_is_named(lake: Lake, tmp_path: Path) -> None:
    live(lake, tmp_path / "log", _Taken({4: leaning(SPEC, 0.25, feature="last_side")}), (100, 0, 4))
    assert "there is no model of version 4" in check(lake).problem


class _Taken:
    """A shelf of these."""

    def __init__(self, models) -> None:  # type: ignore[no-untyped-def]
        self._models = models

    def get(self, version: int):  # type: ignore[no-untyped-def]
        return self._models[version]

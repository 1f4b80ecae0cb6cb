"""A restart goes on with the models that were in the slots, whatever has become of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.restart import Restored, restore
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from features.engine import SymbolEngine
from features.errors import ModelMissing
from tests.unit.cluster.stream_logs import POLICY, SPEC, Writer, stream, with_swaps
from tests.unit.features.slot_models import Shelf, leaning

SHELF = Shelf(v3=leaning(SPEC, 0.25, feature="last_side"), v4=leaning(SPEC, 0.1, feature="last_side"))
TICKS = with_swaps(stream(600), (50, 1, 4), (250, 0, 3), (450, 0, 4), (451, 1, 3))


def restarted(folder: Path, shelf: Shelf | None) -> Restored:
    log = TickLog(folder, POLICY)
    try:
        return restore(log.recover(), SPEC, lambda: TradeOrder(SPEC.symbol, 1000), shelf)
    finally:
        log.close()


def uninterrupted() -> SymbolEngine:
    engine = SymbolEngine(SPEC, SHELF)
    engine.update(TICKS)
    return engine


@pytest.mark.parametrize("checkpoint_at", [0, 100, 251, 452, 604])
def test_swaps_before_and_behind_the_checkpoint_are_done_again(tmp_path: Path, checkpoint_at: int) -> None:
    writer = Writer(tmp_path, shelf=SHELF).take(TICKS[:checkpoint_at])
    if checkpoint_at:
        writer.checkpoint()
    writer.take(TICKS[checkpoint_at:]).die()
    found = restarted(tmp_path, SHELF)
    assert found.engine.digest() == uninterrupted().digest()
    assert found.engine.models.versions == {"champion": 4, "challenger1": 3}
    assert (found.next_sequence, found.replayed, found.problems) == (604, 604 - checkpoint_at, [])


def test_a_checkpoint_brings_its_models_along(tmp_path: Path) -> None:
    Writer(tmp_path, shelf=SHELF).take(TICKS[:460]).checkpoint().take(TICKS[460:]).die()
    found = restarted(tmp_path, Shelf())  # the registry is gone
    assert found.engine.digest() == uninterrupted().digest()


def test_a_swap_behind_the_checkpoint_needs_its_model(tmp_path: Path) -> None:
    Writer(tmp_path, shelf=SHELF).take(TICKS[:200]).checkpoint().take(TICKS[200:]).die()
    with pytest.raises(ModelMissing, match="no model of version 3; publish it, or restore it"):
        restarted(tmp_path, Shelf(v4=SHELF.get(4)))
    # Nothing was written over: with the model it goes on as if nothing had been.
    assert restarted(tmp_path, SHELF).engine.digest() == uninterrupted().digest()


def test_a_restored_engine_takes_further_swaps_from_the_shelf(tmp_path: Path) -> None:
    Writer(tmp_path, shelf=SHELF).take(TICKS[:300]).checkpoint().die()
    found = restarted(tmp_path, SHELF)
    found.engine.update(TICKS[300:])
    assert found.engine.digest() == uninterrupted().digest()

"""A restart goes on with the models that were in the slots, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.checkpoint import Checkpoint
from cluster.registry import Registry, RegistryShelf
from cluster.restart import Restored, restore
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from features.engine import SymbolEngine
from features.errors import ModelMissing
from tests.property.lake_stores import MemoryStore
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


def test_copies_on_disk_are_enough_when_the_registry_is_gone(tmp_path: Path) -> None:
    registry = Registry(MemoryStore())
    for version in (1, 2, 3, 4):
        registry.publish(SHELF.get(3 if version < 4 else 4), {})
    copies = tmp_path / "models"
    shelf = RegistryShelf(lambda: registry, copies)
    Writer(tmp_path / "log", shelf=shelf).take(TICKS[:460]).checkpoint().take(TICKS[460:]).die()
    registry.store.delete([one.key for one in registry.store.list()])
    found = restarted(tmp_path / "log", RegistryShelf(lambda: registry, copies))
    assert found.engine.digest() == uninterrupted().digest()
    (copies / "000004.bin").write_bytes(b"damaged")
    with pytest.raises(ModelMissing, match="no model of version 4"):
        restarted(tmp_path / "log", RegistryShelf(lambda: registry, copies))


@pytest.mark.parametrize("checkpoint_at", [200, 300])
def test_without_a_model_there_is_no_restart(tmp_path: Path, checkpoint_at: int) -> None:
    """One that a checkpoint names, or a swap behind it: going on without would be another state."""
    Writer(tmp_path, shelf=SHELF).take(TICKS[:checkpoint_at]).checkpoint().take(TICKS[checkpoint_at:]).die()
    with pytest.raises(ModelMissing, match="no model of version 3; publish it, or restore it"):
        restarted(tmp_path, Shelf(v4=SHELF.get(4)))
    # Nothing was written over: with the model it goes on as if nothing had been.
    assert restarted(tmp_path, SHELF).engine.digest() == uninterrupted().digest()


def test_a_checkpoint_is_small_whatever_its_models(tmp_path: Path) -> None:
    writer = Writer(tmp_path, shelf=SHELF).take(TICKS[:300])
    named, whole = writer.engine.snapshot(with_models=False), writer.engine.snapshot()
    models = [slot.model for slot in writer.engine.models.slots if slot.model]
    assert len(whole) - len(named) >= sum(len(model.to_bytes()) for model in models) > 0
    assert Checkpoint.of(writer.engine, b"", b"").engine == named
    writer.die()


def test_a_restored_engine_takes_further_swaps_from_the_shelf(tmp_path: Path) -> None:
    Writer(tmp_path, shelf=SHELF).take(TICKS[:300]).checkpoint().die()
    found = restarted(tmp_path, SHELF)
    found.engine.update(TICKS[300:])
    assert found.engine.digest() == uninterrupted().digest()

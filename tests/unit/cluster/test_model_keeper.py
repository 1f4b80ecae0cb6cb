"""Slots come to hold what the registry points at; what can't be used stays outside, and is named."""

from __future__ import annotations

import asyncio

import pytest

from cluster.errors import StoreUnreachable
from cluster.model_keeper import ModelKeeper
from cluster.pointer_watch import PointerWatch
from cluster.registry import Registry, RegistryShelf, pointer_folder
from features.engine import SymbolEngine
from tests.property.lake_stores import MemoryStore
from tests.unit.features.engine_runs import small_spec
from tests.unit.features.slot_models import leaning

SPEC = small_spec(challengers=1)


class Desk:
    """An engine, its keeper, and a registry with two good models, a damaged one and one that doesn't fit."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.registry = Registry(self.store)
        for slope in (0.25, 0.1, 0.3):
            self.registry.publish(leaning(SPEC, slope), {})
        self.registry.publish(leaning(small_spec(features=("rsi:5", "zscore:4")), 0.1), {})
        self.whole = self.store.objects["models/000003/package.bin"]
        self.store.objects["models/000003/package.bin"] = b"damaged"
        self.engine = SymbolEngine(SPEC, RegistryShelf(lambda: self.registry))
        self.takes = True
        self.swaps: list[tuple[int, int]] = []
        shelf = self.engine.shelf
        assert isinstance(shelf, RegistryShelf)
        self.keeper = ModelKeeper(shelf, lambda: self.engine.models, self.swap, retry_s=0.01)

    def swap(self, slot: int, version: int) -> bool:
        if self.takes:
            self.swaps.append((slot, version))
            self.engine.swap(slot, version, self.engine.shelf.get(version) if version else None)
        return self.takes

    def follow(self, number: int, wanted: dict[int, int]) -> dict[str, int]:
        self.keeper.follow(number, wanted)
        asyncio.run(self.keeper.settle())
        return self.engine.models.versions


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_slots_come_to_hold_what_they_should(desk: Desk) -> None:
    assert desk.follow(1, {1: 2}) == {"champion": 0, "challenger1": 2}
    assert desk.follow(2, {0: 1, 1: 2}) == {"champion": 1, "challenger1": 2}
    assert desk.follow(3, {0: 2}) == {"champion": 2, "challenger1": 0}  # promoted: one swap
    assert desk.follow(4, {}) == {"champion": 0, "challenger1": 0}
    assert desk.swaps == [(1, 2), (0, 1), (0, 2), (0, 0)]
    assert desk.keeper.report() == {
        "slots": {"champion": 0, "challenger1": 0},
        "wanted": {},
        "pointer": 4,
        "problems": {},
    }


@pytest.mark.parametrize(
    ("version", "says"),
    [(3, "model 3: its file is damaged"), (4, "other features"), (9, "no model of version 9")],
)
def test_what_cannot_be_used_is_refused_and_the_old_one_stays(desk: Desk, version: int, says: str) -> None:
    desk.follow(1, {0: 1})
    before = desk.engine.digest()
    assert desk.follow(2, {0: version, 1: 2}) == {"champion": 1, "challenger1": 2}  # the other slot goes on
    assert says in desk.keeper.report()["problems"]["champion"]
    desk.follow(3, {0: 1})
    assert (desk.keeper.problems, desk.engine.digest()) == ({}, before)


def test_a_slot_that_the_engine_has_not_is_named(desk: Desk) -> None:
    assert desk.follow(1, {0: 1, 5: 2}) == {"champion": 1, "challenger1": 0}
    assert "there is no slot 5" in desk.keeper.problems["challenger5"]


def test_a_log_that_takes_nothing_delays_a_swap(desk: Desk) -> None:
    desk.takes = False
    assert desk.follow(1, {0: 1})["champion"] == 0
    assert "can't be logged now" in desk.keeper.problems["champion"]


def test_it_tries_again_until_it_can(desk: Desk) -> None:
    async def mend() -> None:
        running = asyncio.create_task(desk.keeper.run())
        desk.keeper.follow(1, {0: 3})
        async with asyncio.timeout(10):
            while not desk.keeper.problems:
                await asyncio.sleep(0)
            desk.store.objects["models/000003/package.bin"] = desk.whole
            while desk.engine.models.versions["champion"] != 3 or desk.keeper.problems:
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(mend())
    assert desk.swaps == [(0, 3)]


def test_models_that_are_in_no_slot_are_forgotten(desk: Desk) -> None:
    desk.follow(1, {0: 1, 1: 2})
    desk.follow(2, {0: 2})
    shelf = desk.engine.shelf
    assert isinstance(shelf, RegistryShelf)
    assert set(shelf._loaded) == {2}


# The supervisor's eye on the registry


def test_a_look_finds_what_is_new(desk: Desk) -> None:
    watch = PointerWatch(lambda: desk.registry, "binance")
    asyncio.run(watch.look(["AAA", "BBB"]))
    assert watch.pointers == {}
    desk.registry.point("binance", "AAA", 0, 1)
    desk.registry.point("binance", "AAA", 1, 2)
    desk.registry.point("binance", "ZZZ", 1, 2)
    desk.registry.point("other", "BBB", 1, 2)
    asyncio.run(watch.look(["AAA", "BBB"]))
    assert {symbol: (one.number, one.slots) for symbol, one in watch.pointers.items()} == {
        "AAA": (2, {0: 1, 1: 2})
    }
    assert watch.report() == {"problems": {}}


def test_a_lake_that_is_away_changes_nothing(desk: Desk) -> None:
    desk.registry.point("binance", "AAA", 0, 1)
    watch = PointerWatch(lambda: desk.registry, "binance")
    asyncio.run(watch.look(["AAA"]))
    known = dict(watch.pointers)

    def away(prefix: str = "") -> None:
        raise StoreUnreachable("away", "lake")

    desk.store.list = away  # type: ignore[method-assign, assignment]
    asyncio.run(watch.look(["AAA"]))
    assert watch.pointers == known
    assert watch.report() == {"problems": {"": "lake: away"}}


def test_a_pointer_that_is_none_is_named_and_the_others_are_read(desk: Desk) -> None:
    watch = PointerWatch(lambda: desk.registry, "binance")
    desk.registry.point("binance", "BBB", 0, 1)
    desk.store.objects[f"{pointer_folder('binance', 'AAA')}000001.json"] = b"nonsense"
    asyncio.run(watch.look(["AAA", "BBB"]))
    assert list(watch.pointers) == ["BBB"]
    assert "no pointer to models" in watch.problems["AAA"]

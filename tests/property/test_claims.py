"""Several create one object at once in a store without conditional writes: one does, or for now none."""

from __future__ import annotations

import contextlib
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import StoreUnreachable
from cluster.storage import claims
from tests.property.lake_stores import Killed, MemoryStore, StepStore, Turns, dying, random_schedule

KEY = "models/000001/reserved"


def create(store: StepStore, data: bytes, found: dict[bytes, bool | None]) -> None:
    try:
        found[data] = claims.put_new(store, KEY, data, pause=lambda s: None)
    except StoreUnreachable:
        found[data] = None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 4))
def test_never_do_two_create_it(seed: int, parties: int) -> None:
    store, found = MemoryStore(), dict[bytes, bool | None]()
    turns = Turns(random_schedule(seed, parties))

    def run(number: int) -> None:
        try:
            mine = StepStore(store, lambda: turns.step(number), snapshot=bool(seed % 2))
            create(mine, bytes([number]), found)
        finally:
            turns.leave(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [data for data, won in found.items() if won]
    assert len(found) == parties
    assert len(winners) <= 1
    if False in found.values():
        assert len(winners) == 1
    assert store.objects == dict.fromkeys([KEY][: len(winners)], *winners)  # and no claim is left


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9))
def test_who_dies_there_blocks_it_until_his_claim_is_old(after: int) -> None:
    store, found = MemoryStore(), dict[bytes, bool | None]()
    with contextlib.suppress(Killed):
        create(dying(store, after), b"dead", found)
    create(StepStore(store, lambda: None), b"alive", found)
    left = [key for key in store.objects if key != KEY]
    if store.objects.get(KEY) == b"dead":
        assert found[b"alive"] is False
        return
    assert found[b"alive"] is (None if left else True)
    aged = Aged(store, set(left))
    assert claims.put_new(aged, KEY, b"alive", pause=lambda s: None)
    assert store.objects == {KEY: b"alive"}


class Aged(StepStore):
    """A store some time later: what was left before is old."""

    def __init__(self, below: MemoryStore, old: set[str]) -> None:
        super().__init__(below, lambda: None)
        self._old = old

    def list(self, prefix: str = ""):  # type: ignore[no-untyped-def]
        for one in super().list(prefix):
            later_ns = 0 if one.key in self._old else claims.ABANDONED_AFTER_NS + 1
            yield type(one)(one.key, one.size, later_ns)

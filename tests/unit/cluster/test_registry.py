"""The registry: numbers given once, versions whole or not there, pointers with a past."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.errors import PointerMoved, StoreUnreachable
from cluster.registry import Pointer, Registry, RegistryShelf, pointer_folder
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError, ModelMissing, ModelRefused
from jobs.s3_server import S3Server
from tests.property.lake_stores import Killed, MemoryStore, dying
from tests.unit.features.engine_runs import small_spec
from tests.unit.features.slot_models import leaning

SPEC = small_spec()
PACKAGE = leaning(SPEC, 0.25)
PLACE = ("binance", "BTC/USDT")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSpec:
    """A lake of either kind."""
    if request.param == "folder":
        return StoreSpec(uri=str(tmp_path / "lake"))
    server: S3Server = request.getfixturevalue("s3")
    return server.spec(f"test {request.node.name}/a+b")


@pytest.fixture
def store(spec: StoreSpec) -> ObjectStore:
    made = open_store(spec)
    made.prepare()
    return made


@pytest.fixture
def registry() -> Registry:
    clock = iter(range(1, 1000))
    return Registry(MemoryStore(), lambda: next(clock))


def of(registry: Registry) -> MemoryStore:
    assert isinstance(registry.store, MemoryStore)
    return registry.store


# Versions


def test_what_is_published_is_loaded_as_it_was(store: ObjectStore) -> None:
    registry = Registry(store)
    version = registry.publish(PACKAGE, {"code": "abc", "rows": 12})
    assert (version, registry.versions()) == (1, [1])
    assert Registry(store).load(1).to_bytes() == PACKAGE.to_bytes()
    about = registry.manifest(1)
    assert (about["version"], about["code"], about["rows"]) == (1, "abc", 12)
    assert (about["columns"], about["horizons"]) == (list(PACKAGE.columns), ["1s", "3s"])
    assert about["feature_digest"] == PACKAGE.feature_digest


def test_many_that_publish_at_once_get_different_numbers(spec: StoreSpec) -> None:
    stores = [open_store(spec) for _ in range(3)]
    stores[0].prepare()
    with ThreadPoolExecutor(3) as pool:
        made = list(
            pool.map(lambda i: [Registry(stores[i]).publish(PACKAGE, {"by": i}) for _ in range(2)], range(3))
        )
    assert sorted(version for found in made for version in found) == [1, 2, 3, 4, 5, 6]
    for i, found in enumerate(made):
        assert [Registry(stores[0]).manifest(version)["by"] for version in found] == [i, i]


@pytest.mark.parametrize("after", range(6))
def test_a_publisher_that_is_killed_leaves_no_version_and_no_number_twice(after: int) -> None:
    below = MemoryStore()
    first = Registry(below).publish(PACKAGE, {})
    with pytest.raises(Killed):
        Registry(dying(below, after)).publish(PACKAGE, {})
    taken = max(int(key[7:13]) for key in below.objects)
    assert Registry(below).versions() == [first]
    done = Registry(below).publish(PACKAGE, {})
    assert done == taken + 1  # the numbers of the dead stay theirs
    assert Registry(below).load(done).to_bytes() == PACKAGE.to_bytes()


def test_a_version_that_is_not_there_is_missing(registry: Registry) -> None:
    for ask in (registry.manifest, registry.load):
        with pytest.raises(ModelMissing, match="there is no model of version 9"):
            ask(9)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_damaged_file_is_refused(registry: Registry, place: int) -> None:
    registry.publish(PACKAGE, {})
    data = bytearray(of(registry).objects["models/000001/package.bin"])
    data[place] ^= 1
    of(registry).objects["models/000001/package.bin"] = bytes(data)
    with pytest.raises(ModelRefused, match="model 1: its file is damaged; restore it, or publish it again"):
        registry.load(1)


def test_a_file_that_is_missing_or_no_model_is_refused(registry: Registry) -> None:
    registry.publish(PACKAGE, {})
    objects = of(registry).objects
    del objects["models/000001/package.bin"]
    with pytest.raises(ModelRefused, match="its file is missing"):
        registry.load(1)

    class Odd:
        feature_digest, columns, horizons = "", (), ()

        def to_bytes(self) -> bytes:
            return b"no model"

    version = registry.publish(Odd(), {})  # type: ignore[arg-type]
    with pytest.raises(ModelRefused, match=f"model {version}: "):
        registry.load(version)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 1, "version": 2, "sha256": "x"}', b"\xff"])
def test_a_damaged_manifest_is_refused(registry: Registry, data: bytes) -> None:
    registry.publish(PACKAGE, {})
    of(registry).objects["models/000001/manifest.json"] = data
    with pytest.raises(ModelRefused, match="model 1: its manifest is damaged"):
        registry.load(1)


def test_a_manifest_of_a_newer_release_is_refused(registry: Registry) -> None:
    registry.publish(PACKAGE, {})
    key = "models/000001/manifest.json"
    values = json.loads(of(registry).objects[key]) | {"format": 2}
    of(registry).objects[key] = json.dumps(values).encode()
    with pytest.raises(ModelRefused, match="format 2, newer than 1; use a newer release"):
        registry.manifest(1)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"version": 3}, "manifest: version is filled in by the registry"),
        ({"score": float("nan")}, "manifest: is not plain JSON"),
        ({"x": {1, 2}}, "manifest: is not plain JSON"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_before_a_number_is_taken(
    registry: Registry, manifest: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        registry.publish(PACKAGE, manifest)
    assert of(registry).objects == {}


# Pointers


def published(registry: Registry, count: int) -> None:
    for _ in range(count):
        registry.publish(PACKAGE, {})


def test_a_pointer_says_what_the_slots_are_to_hold(store: ObjectStore) -> None:
    registry = Registry(store)
    published(registry, 2)
    assert registry.pointer(*PLACE) == Pointer(0, {})
    registry.point(*PLACE, 1, 2, expected=0, why="to be watched")
    registry.point(*PLACE, 0, 1)
    found = Registry(store).pointer(*PLACE)
    assert (found.number, found.slots, found.champion) == (2, {0: 1, 1: 2}, 1)
    assert [one.why for one in registry.history(*PLACE)] == ["", "to be watched"]
    assert registry.newest() == {pointer_folder(*PLACE): 2}
    assert registry.pointer("binance", "BTC") == Pointer(0, {})


def test_who_becomes_champion_leaves_the_challengers(registry: Registry) -> None:
    published(registry, 3)
    for slot, version in ((0, 1), (1, 2), (2, 3)):
        registry.point(*PLACE, slot, version)
    assert registry.point(*PLACE, 0, 2).slots == {0: 2, 2: 3}
    assert registry.point(*PLACE, 2, 0).slots == {0: 2}
    assert registry.point(*PLACE, 0, 0).slots == {}


def test_somebody_who_looked_too_early_is_told(registry: Registry) -> None:
    published(registry, 1)
    registry.point(*PLACE, 0, 1, expected=0)
    with pytest.raises(PointerMoved, match="pointer 1 is there, 0 was expected; look again"):
        registry.point(*PLACE, 1, 1, expected=0)
    with pytest.raises(PointerMoved):
        registry.rollback(*PLACE, expected=0)


def test_of_several_that_expect_the_same_one_points(spec: StoreSpec) -> None:
    stores = [open_store(spec) for _ in range(4)]
    stores[0].prepare()
    published(Registry(stores[0]), 4)

    def point(i: int) -> bool:
        try:
            Registry(stores[i]).point(*PLACE, 0, i + 1, expected=0)
        except PointerMoved:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(point, range(4)))
    assert done.count(True) == 1
    assert Registry(stores[0]).pointer(*PLACE).champion == done.index(True) + 1


def test_several_that_expect_nothing_all_point(spec: StoreSpec) -> None:
    stores = [open_store(spec) for _ in range(3)]
    stores[0].prepare()
    published(Registry(stores[0]), 3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda i: Registry(stores[i]).point(*PLACE, i, i + 1), range(3)))
    found = Registry(stores[0]).pointer(*PLACE)
    assert (found.number, found.slots) == (3, {0: 1, 1: 2, 2: 3})


def test_a_version_that_is_not_there_is_not_pointed_at(registry: Registry) -> None:
    with pytest.raises(ModelMissing):
        registry.point(*PLACE, 0, 1)
    assert registry.pointer(*PLACE).number == 0


def test_a_rollback_goes_back_one_champion_at_a_time(registry: Registry) -> None:
    published(registry, 4)
    for version in (1, 2, 3):
        registry.point(*PLACE, 0, version)
        registry.point(*PLACE, 1, 4)
    assert [registry.rollback(*PLACE).champion for _ in range(3)] == [2, 1, 0]
    with pytest.raises(DataError, match="there is no champion to go back to"):
        registry.rollback(*PLACE)
    assert registry.pointer(*PLACE).slots == {1: 4}
    registry.point(*PLACE, 0, 3)
    assert registry.rollback(*PLACE).champion == 0
    assert registry.pointer(*PLACE).slots == {1: 4}


def test_a_rollback_after_a_rollback_and_a_promotion_undoes_the_promotion(registry: Registry) -> None:
    published(registry, 3)
    registry.point(*PLACE, 0, 1)
    registry.point(*PLACE, 0, 2)
    assert registry.rollback(*PLACE).champion == 1
    registry.point(*PLACE, 0, 3)
    assert [registry.rollback(*PLACE).champion for _ in range(2)] == [1, 0]


def test_what_is_no_pointer_is_named(registry: Registry) -> None:
    of(registry).objects[f"{pointer_folder(*PLACE)}000001.json"] = b"{}"
    with pytest.raises(DataError, match="this is no pointer to models"):
        registry.pointer(*PLACE)


# Retention


def test_versions_that_any_pointer_names_or_named_are_kept(registry: Registry) -> None:
    published(registry, 6)
    registry.point(*PLACE, 0, 1)
    registry.point("binance", "ETHUSDT", 1, 3)
    registry.point(*PLACE, 0, 4)
    assert registry.prune(keep=1) == [2, 5]
    assert registry.versions() == [1, 3, 4, 6]
    assert registry.prune(keep=0) == []  # the newest gives the next its number
    assert registry.publish(PACKAGE, {}) == 7
    for version in (1, 3, 4):
        registry.load(version)


def test_what_was_begun_and_never_finished_goes_when_it_is_old(registry: Registry) -> None:
    below = of(registry)
    with pytest.raises(Killed):
        Registry(dying(below, 3)).publish(PACKAGE, {})
    published(registry, 1)
    assert registry.prune(keep=5) == []
    assert registry.prune(keep=5, older_than_ns=1) == [1]
    assert not [key for key in below.objects if "000001" in key]


# Shelves


def test_a_shelf_opens_its_registry_for_the_first_model_and_keeps_what_it_has(registry: Registry) -> None:
    published(registry, 2)
    opened = []
    shelf = RegistryShelf(lambda: opened.append(1) or registry)  # type: ignore[func-returns-value]
    assert opened == []
    first = shelf.get(1)
    of(registry).objects.clear()
    assert shelf.get(1) is first
    with pytest.raises(ModelMissing):
        shelf.get(2)
    shelf.keep({2})
    with pytest.raises(ModelMissing):
        shelf.get(1)
    assert opened == [1]


def test_a_shelf_whose_lake_is_away_can_be_asked_again(registry: Registry) -> None:
    published(registry, 1)
    found: list[Registry] = []

    def opening() -> Registry:
        if not found:
            found.append(registry)
            raise StoreUnreachable("away", "lake")
        return registry

    shelf = RegistryShelf(opening)
    with pytest.raises(StoreUnreachable):
        shelf.get(1)
    assert shelf.get(1).columns == PACKAGE.columns


def test_a_shelf_keeps_copies_on_disk_and_a_few_old_ones(registry: Registry, tmp_path: Path) -> None:
    published(registry, 12)
    shelf = RegistryShelf(lambda: registry, tmp_path / "models")
    for version in range(1, 13):
        shelf.get(version)
    shelf.keep({1, 12})
    assert sorted(int(path.stem) for path in (tmp_path / "models").iterdir()) == [1, *range(4, 13)]
    of(registry).objects.clear()
    again = RegistryShelf(lambda: registry, tmp_path / "models")
    assert again.get(12).to_bytes() == PACKAGE.to_bytes()
    with pytest.raises(ModelMissing):
        again.get(2)

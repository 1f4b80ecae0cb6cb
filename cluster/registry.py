"""The registry: versions of trained models in the lake, and which symbol is to have which.

    registry = Registry(open_store(spec))
    version = registry.publish(package, {"code": "…"})         # 1, 2, 3 …, each given once
    registry.point("binance", "BTCUSDT", 0, version)           # slot 0: the champion

    models/000007/reserved.json     whoever made this has the number
    models/000007/package.bin       the model
    models/000007/manifest.json     what it is; written last: with it the version is there
    models/pointers/venue=V/symbol=S/000012.json    the 12th word on what the symbol's slots are to hold

Nothing is ever changed, so everybody sees a version whole or not at all. Numbers are given by exclusive
creation (`ObjectStore.put_new`), those of versions as well as those of pointers: who points says after which
pointer his is to be, and fails if somebody else was quicker. Calls block. Symbol actors use it: no pyarrow.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster.errors import ObjectMissing, PointerMoved, StoreError
from cluster.storage.layout import symbol_prefix
from cluster.storage.objects import ObjectStore
from features.errors import DataError, ModelMissing, ModelRefused
from features.model_slots import Model, slot_name, slot_number
from features.models.package import ModelPackage

MODELS = "models/"
_FORMAT = 1
_OWN = ("format", "version", "published_ns", "sha256", "bytes", "feature_digest", "columns", "horizons")
_VERSION_KEY = re.compile(r"models/([0-9]{6,})/([a-z.]+)")
_POINTER_KEY = re.compile(r"models/pointers/venue=[^/]+/symbol=[^/]+/([0-9]{6,})\.json")
_ATTEMPTS = 50
_COPIES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the slots of a symbol are to hold, as of one change."""

    number: int
    """1, 2, 3 … for each symbol; 0: nobody has said anything yet."""
    slots: Mapping[int, int]
    """Version by slot; slots that are to be empty are left out."""
    at_ns: int = 0
    why: str = ""
    restores: int | None = None
    """The number of the pointer whose champion this one went back to."""

    @property
    def champion(self) -> int:
        """Version of the champion, 0 for none."""
        return self.slots.get(0, 0)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, slots by name."""
        slots = {slot_name(slot): version for slot, version in sorted(self.slots.items())}
        return {"number": self.number, "slots": slots, "at_ns": self.at_ns, "why": self.why}


class Registry:
    """The models of one lake."""

    def __init__(self, store: ObjectStore, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.store = store
        self._clock_ns = clock_ns

    # Versions

    def publish(self, package: Model, manifest: Mapping[str, Any]) -> int:
        """Store a model; its version. `manifest` says where it comes from, as plain JSON values.

        Raises DataError for a manifest that is none, or uses names of the registry's own.
        """
        taken = sorted(set(manifest) & set(_OWN))
        if taken:
            raise DataError(f"{', '.join(taken)} is filled in by the registry", "manifest", "leave it out")
        data = package.to_bytes()
        about = dict(manifest) | {
            "format": _FORMAT,
            "published_ns": self._clock_ns(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "feature_digest": package.feature_digest,
            "columns": list(package.columns),
            "horizons": list(package.horizons),
        }
        _json(about)
        version = self._reserve()
        self.store.put(_key(version, "package.bin"), data)
        self.store.put(_key(version, "manifest.json"), _json(about | {"version": version}))
        return version

    def versions(self) -> list[int]:
        """All versions that are there, oldest first."""
        return sorted(number for number, name in self._objects() if name == "manifest.json")

    def manifest(self, version: int) -> dict[str, Any]:
        """What a version is. Raises ModelMissing, or ModelRefused for a damaged manifest."""
        try:
            data = self.store.get(_key(version, "manifest.json"))
        except ObjectMissing:
            raise ModelMissing(version, self.store.uri) from None
        try:
            found = json.loads(data)
            if found["format"] > _FORMAT:
                problem = f"its manifest has format {found['format']}, newer than {_FORMAT}"
                raise ModelRefused(problem, f"model {version}", "use a newer release")
            if found["version"] == version and found["sha256"]:
                return dict(found)
        except (ValueError, KeyError, TypeError):
            pass
        raise ModelRefused("its manifest is damaged", f"model {version}", "publish it again")

    def load(self, version: int) -> ModelPackage:
        """The model of a version, checked: its bytes by their checksum, its predictions by its probe rows.

        Raises ModelMissing, ModelRefused for one that is damaged, StoreError when the lake can't be asked.
        """
        about, where = self.manifest(version), f"model {version}"
        try:
            data = self.store.get(_key(version, "package.bin"))
        except ObjectMissing:
            raise ModelRefused("its file is missing", where, "restore it, or publish it again") from None
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            raise ModelRefused("its file is damaged", where, "restore it, or publish it again")
        try:
            return ModelPackage.from_bytes(data)
        except ModelRefused as error:
            raise ModelRefused(error.problem, where, error.fix) from None

    # Pointers

    def pointer(self, venue: str, symbol: str) -> Pointer:
        """What the slots of a symbol are to hold now."""
        numbers = self._pointer_numbers(venue, symbol)
        return self._pointer(venue, symbol, numbers[-1]) if numbers else Pointer(0, {})

    def history(self, venue: str, symbol: str) -> list[Pointer]:
        """All that was ever said about a symbol, newest first."""
        numbers = reversed(self._pointer_numbers(venue, symbol))
        return [self._pointer(venue, symbol, number) for number in numbers]

    def newest(self) -> dict[str, int]:
        """The number of the newest pointer of every symbol, by the folder it is in: what a poll compares."""
        found: dict[str, int] = {}
        for one in self.store.list(f"{MODELS}pointers/"):
            if named := _POINTER_KEY.fullmatch(one.key):
                folder = one.key.rpartition("/")[0] + "/"
                found[folder] = max(found.get(folder, 0), int(named[1]))
        return found

    def point(
        self, venue: str, symbol: str, slot: int, version: int, expected: int | None = None, why: str = ""
    ) -> Pointer:
        """Say which version a slot is to hold, 0 for none. Who becomes champion leaves the other slots.

        `expected` is the number of the pointer that the caller has looked at; None: whatever is there.
        Raises PointerMoved when there is a newer one, ModelMissing for a version that is not there.
        """
        if version:
            self.manifest(version)
        slot_name(slot)
        for _ in range(_ATTEMPTS):
            now = self.pointer(venue, symbol)
            if expected is not None and now.number != expected:
                raise PointerMoved(
                    f"pointer {now.number} is there, {expected} was expected",
                    f"{venue} {symbol}",
                    "look again and decide anew",
                )
            slots = {one: held for one, held in now.slots.items() if one != slot}
            if slot == 0:
                slots = {one: held for one, held in slots.items() if held != version}
            if version:
                slots[slot] = version
            made = self._put_pointer(venue, symbol, Pointer(now.number + 1, slots, self._clock_ns(), why))
            if made is not None:
                return made
        raise StoreError(f"others are pointing all the time: {venue} {symbol}", self.store.uri)

    def rollback(
        self, venue: str, symbol: str, expected: int | None = None, why: str = "rollback"
    ) -> Pointer:
        """Make the champion before the present one champion again; none, if there was none.

        Again goes one further back. Raises DataError where there was no other, and PointerMoved.
        """
        past = self.history(venue, symbol)
        now = past[0] if past else Pointer(0, {})
        if expected is not None and now.number != expected:
            raise PointerMoved(f"pointer {now.number} is there, not {expected}", f"{venue} {symbol}")
        by_number = {one.number: one for one in past} | {0: Pointer(0, {})}
        at = now.restores if now.restores is not None else now.number
        before = next(
            (
                by_number[n]
                for n in range(at - 1, -1, -1)
                if n in by_number and by_number[n].champion != now.champion
            ),
            None,
        )
        if before is None:
            raise DataError("there is no champion to go back to", f"{venue} {symbol}", "point at a version")
        slots = {one: held for one, held in now.slots.items() if one and held != before.champion}
        if before.champion:
            slots[0] = before.champion
        restores = before.number if before.restores is None else before.restores
        made = Pointer(now.number + 1, slots, self._clock_ns(), why, restores)
        done = self._put_pointer(venue, symbol, made)
        if done is None:
            raise PointerMoved("somebody else was quicker", f"{venue} {symbol}", "look again")
        return done

    # Retention

    def referenced(self) -> set[int]:
        """Versions that any pointer names or has named: a replay of the past needs them."""
        keys = [one.key for one in self.store.list(f"{MODELS}pointers/") if _POINTER_KEY.fullmatch(one.key)]
        return {version for key in keys for version in self._read(key, 0).slots.values()}

    def prune(self, keep: int, older_than_ns: int = 0) -> list[int]:
        """Remove versions that no pointer has ever named, but for the newest `keep`; those removed.

        With `older_than_ns`, a time, only what was put before it; unfinished ones too, then.
        """
        put_ns: dict[int, int] = {}
        for one in self.store.list(MODELS):
            if named := _VERSION_KEY.fullmatch(one.key):
                put_ns[int(named[1])] = max(one.modified_ns, put_ns.get(int(named[1]), 0))
        whole = set(self.versions())
        # After the listings: who points at a version now has seen it there.
        spared = self.referenced() | set(sorted(whole)[len(whole) - min(keep, len(whole)) :])
        gone = [
            version
            for version, put in sorted(put_ns.items())
            if version not in spared
            and (put < older_than_ns if older_than_ns else version in whole)
            and version != max(put_ns)  # the next number is counted from it
        ]
        for version in gone:
            # The manifest first: without it the version is not there.
            for name in ("manifest.json", "package.bin", "reserved.json"):
                self.store.delete([_key(version, name)])
        return gone

    def _objects(self) -> Iterator[tuple[int, str]]:
        for one in self.store.list(MODELS):
            if named := _VERSION_KEY.fullmatch(one.key):
                yield int(named[1]), named[2]

    def _reserve(self) -> int:
        version = max((number for number, _ in self._objects()), default=0)
        for _ in range(_ATTEMPTS):
            version += 1
            mine = _json({"by": uuid4().hex, "at_ns": self._clock_ns()})
            if self.store.put_new(_key(version, "reserved.json"), mine):
                return version
        raise StoreError("others are publishing all the time", self.store.uri, "try again")

    def _pointer_numbers(self, venue: str, symbol: str) -> list[int]:
        found = (_POINTER_KEY.fullmatch(one.key) for one in self.store.list(pointer_folder(venue, symbol)))
        return sorted(int(named[1]) for named in found if named)

    def _pointer(self, venue: str, symbol: str, number: int) -> Pointer:
        return self._read(f"{pointer_folder(venue, symbol)}{number:06}.json", number)

    def _read(self, key: str, number: int) -> Pointer:
        try:
            values = json.loads(self.store.get(key))
            slots = {slot_number(name): int(version) for name, version in values["slots"].items()}
            return Pointer(number, slots, values["at_ns"], values["why"], values["restores"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError("this is no pointer to models", f"{self.store.uri}/{key}", "remove it") from None

    def _put_pointer(self, venue: str, symbol: str, made: Pointer) -> Pointer | None:
        """Store a pointer; None when its number has been taken by somebody else."""
        values = made.as_dict() | {"restores": made.restores, "by": uuid4().hex}
        key = f"{pointer_folder(venue, symbol)}{made.number:06}.json"
        return made if self.store.put_new(key, _json(values)) else None


class RegistryShelf:
    """Models of a registry for an engine; those that it holds are kept in memory, and copies on disk.

    `get` may be called in a thread; what it has brought is then at hand at once. With its copies a restart
    on the same machine needs no registry.
    """

    def __init__(self, open_registry: Callable[[], Registry], folder: Path | None = None) -> None:
        """`open_registry` is called when the first model is wanted: most symbols have none."""
        self._open = open_registry
        self._registry: Registry | None = None
        self._folder = folder
        self._loaded: dict[int, Model] = {}

    def get(self, version: int) -> Model:
        """The model of this version. Raises ModelMissing, ModelRefused or StoreError."""
        if version not in self._loaded:
            self._loaded[version] = self._copy(version) or self._fetch(version)
        return self._loaded[version]

    def keep(self, versions: set[int]) -> None:
        """Forget all others; on disk, a few of them stay for older checkpoints."""
        self._loaded = {version: one for version, one in self._loaded.items() if version in versions}
        if self._folder is None:
            return
        copies = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        others = [path for path in copies if int(path.stem) not in versions]
        for path in others[_COPIES_KEPT:]:
            path.unlink(missing_ok=True)

    def _copy(self, version: int) -> Model | None:
        """The copy on disk, if it is there and whole."""
        if self._folder is None:
            return None
        try:
            return ModelPackage.from_bytes((self._folder / f"{version:06}.bin").read_bytes())
        except (OSError, ModelRefused):
            return None

    def _fetch(self, version: int) -> Model:
        if self._registry is None:
            self._registry = self._open()
        model = self._registry.load(version)
        if self._folder is not None:
            # A full disk keeps no model from being used.
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = self._folder / f"{version:06}.partial"
                partial.write_bytes(model.to_bytes())
                partial.replace(self._folder / f"{version:06}.bin")
        return model


def pointer_folder(venue: str, symbol: str) -> str:
    """What the keys of a symbol's pointers begin with."""
    return f"{MODELS}{symbol_prefix('pointers', venue, symbol)}"


def _key(version: int, name: str) -> str:
    return f"{MODELS}{version:06}/{name}"


def _json(values: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(values, sort_keys=True, allow_nan=False, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"is not plain JSON: {error}", "manifest", "use texts, numbers, lists and objects"
        ) from None

"""Arrays that are computed once and read by many: kept under names that say what is in them.

    cache = ArrayCache(open_store(spec), cache_folder(spec, folder))
    x = cache.get(name)                         # memory-mapped; None: compute it, and put it

The lake holds them under sweeps/data/; a process maps the file of a folder lake itself, or of an S3 lake its
copy in a local folder, so that trials on one node share the pages. A name is a digest of all that the values
follow from, so nothing ever changes; everything in there may be removed at any time.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import ObjectMissing
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec

PREFIX = "sweeps/data/"
Array = NDArray[Any]


class ArrayCache:
    """Arrays by name. May be used by several processes."""

    def __init__(self, store: ObjectStore, folder: Path, is_store: bool) -> None:
        """`folder` is where arrays are mapped from; with `is_store` it is the store's own."""
        self._store = store
        self._folder = folder
        self._is_store = is_store

    @classmethod
    def of(cls, spec: StoreSpec, folder: Path | None = None) -> ArrayCache:
        """The cache in a lake; `folder` is for copies where the lake is not a folder."""
        if spec.folder is not None:
            return cls(open_store(spec), spec.folder, True)
        return cls(open_store(spec), folder or Path(tempfile.gettempdir()) / "tickcast-sweeps", False)

    def get(self, name: str) -> Array | None:
        """The array of this name, mapped; None where it is not there, or damaged."""
        path = self._folder / PREFIX / f"{name}.npy"
        if not path.exists() and (self._is_store or not self._fetch(name, path)):
            return None
        try:
            # Copy on write: compiled kernels take arrays that may be written, and nobody writes.
            found: Array = np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)
        except (ValueError, EOFError, OSError):
            return None
        return found

    def put(self, name: str, array: Array) -> Array:
        """Keep an array; gives it back mapped."""
        target = io.BytesIO()
        np.save(target, np.ascontiguousarray(array), allow_pickle=False)
        data = target.getvalue()
        self._store.put(f"{PREFIX}{name}.npy", data)
        if not self._is_store:
            _write(self._folder / PREFIX / f"{name}.npy", data)
        kept = self.get(name)
        return array if kept is None else kept

    def _fetch(self, name: str, path: Path) -> bool:
        try:
            data = self._store.get(f"{PREFIX}{name}.npy")
        except ObjectMissing:
            return False
        _write(path, data)
        return True


def _write(path: Path, data: bytes) -> None:
    """A file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
    os.replace(file.name, path)

"""An object store in a folder of a local disk or a mounted file system.

An object is a file. It is written to a hidden folder beside the others, forced to the disk and then
renamed into place, so that at any moment, also after a power failure, there is the whole object, the one
before it, or none. Whoever lists, globs or reads the folder sees finished objects only.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from cluster.errors import ObjectMissing, StoreError
from cluster.storage.folder_errors import store_error, translated
from cluster.storage.objects import ObjectInfo, check_key, check_prefix, is_key
from features.errors import DataError

_HIDDEN = ".tickcast-partial"
_ABANDONED_AFTER_NS = 3600 * 10**9
_COPY_BYTES = 2**20
_PLACE_ATTEMPTS = 10


class FolderStore:
    """Objects as files under a folder. See `objects.ObjectStore` for what each call guarantees."""

    def __init__(self, folder: Path) -> None:
        # Absolute from the start: a later chdir must not move the store.
        self._root = folder.absolute()
        self._hidden = self._root / _HIDDEN

    @property
    def uri(self) -> str:
        """The folder."""
        return str(self._root)

    def prepare(self) -> None:
        """Make the folder, write and remove a file in it, and remove what killed writers left."""
        with translated("preparing the folder", self._root):
            _make_folder(self._hidden)
            probe = self._hidden / f"{uuid4().hex}.probe"
            probe.touch()
            # Ages are measured by the clock of the file system: on a network it is not ours.
            now_ns = probe.stat().st_mtime_ns
            probe.unlink()
            for entry in _entries(self._hidden):
                if now_ns - entry.stat().st_mtime_ns > _ABANDONED_AFTER_NS:
                    Path(entry.path).unlink(missing_ok=True)

    def put(self, key: str, data: bytes) -> None:
        """Store an object, whole or not at all."""
        self._publish(key, lambda file: file.write(data))

    def put_new(self, key: str, data: bytes) -> bool:
        """Store an object unless another one is there: by a hard link, which never replaces a file."""
        return self._publish(key, lambda file: file.write(data), new=True) or self.get(key) == data

    def put_file(self, key: str, path: Path) -> None:
        """Store a copy of a file."""
        try:
            source = path.open("rb")
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror}", str(path)) from None
        with source:
            self._publish(key, lambda file: shutil.copyfileobj(source, file, _COPY_BYTES))

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(key) from None
        except OSError as error:
            raise store_error(error, "reading", path) from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their keys. One that is removed meanwhile may or may not be among them."""
        check_prefix(prefix)
        above, _, _ = prefix.rpartition("/")
        with translated("listing", self._root):
            self._root.stat()
            yield from _walk(self._root / above, f"{above}/" if above else "", prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects and the folders that are empty then. All are tried before an error is raised."""
        first: StoreError | None = None
        touched = set()
        for key in keys:
            path = self._path(key)
            try:
                path.unlink()
                touched.add(path.parent)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                first = first or store_error(error, "removing", path)
        for folder in touched:
            self._settle(folder)
        if first:
            raise first

    def move(self, key: str, to: str) -> None:
        """Rename an object. Raises ObjectMissing."""
        source, target = self._path(key), self._path(to)
        if not source.is_file():
            raise self._missing(key)
        with translated("moving", source):
            try:
                self._place(source, target)
            except FileNotFoundError:
                if source.exists():
                    raise
                raise self._missing(key) from None
        self._settle(source.parent)

    def filesystem(self) -> tuple[Any, str]:
        """pyarrow's local file system and the folder."""
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem(), str(self._root)

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key

    def _missing(self, key: str) -> StoreError:
        if not self._root.is_dir():
            return store_error(FileNotFoundError(errno.ENOENT, ""), "reading", self._root)
        return ObjectMissing(f"there is no object {key!r}", self.uri)

    def _publish(self, key: str, write: Callable[[BinaryIO], Any], new: bool = False) -> bool:
        """Write a file beside the others, then give it its name. With `new`, False if it is taken."""
        target = self._path(key)
        partial = self._hidden / f"{uuid4().hex}.partial"
        with translated(f"storing {key!r}", self._root):
            try:
                # Without the hidden folder this is no store, or its disk is not mounted: nothing may be
                # written to what lies beneath.
                with partial.open("xb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                return self._place(partial, target, new)
            finally:
                partial.unlink(missing_ok=True)

    def _place(self, source: Path, target: Path, new: bool = False) -> bool:
        """Rename, making folders as needed; the name is on the disk when it returns. With `new`, a second
        name, or False if it is taken."""
        for left in reversed(range(_PLACE_ATTEMPTS)):
            try:
                _make_folder(target.parent)
                if new:
                    os.link(source, target)
                else:
                    source.replace(target)
                break
            except FileExistsError:
                if not new or not os.path.lexists(target):
                    raise
                return False
            except FileNotFoundError:
                # Another process may remove the folder as an empty one before our object is in it.
                if not left or not source.exists():
                    raise
        _sync_folder(target.parent)
        return True

    def _settle(self, folder: Path) -> None:
        """Remove the folder and those above it as far as they are empty; force what remains to the disk."""
        with translated("removing empty folders", folder):
            while folder != self._root:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    break  # it holds something
                folder = folder.parent
            _sync_folder(folder)


def _walk(folder: Path | str, above: str, prefix: str) -> Iterator[ObjectInfo]:
    """The objects below a folder, whose keys begin with `above`; in the order of whole keys."""
    found = []
    for entry in _entries(folder):
        if is_key(entry.name):
            # In the order of keys a folder stands where its name with a slash does: "a-b" is before "a/c".
            is_folder = entry.is_dir()
            found.append((f"{entry.name}/" if is_folder else entry.name, is_folder, entry))
    for name, is_folder, entry in sorted(found, key=lambda item: item[0]):
        key = above + name
        if not (key.startswith(prefix) or (is_folder and prefix.startswith(key))):
            continue
        if is_folder:
            yield from _walk(entry.path, key, prefix)
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        yield ObjectInfo(key, status.st_size, status.st_mtime_ns)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing when it is gone."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, with their names on the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "", str(folder)) from None
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

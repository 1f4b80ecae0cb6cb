"""What an error of the file system means for a store in a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import StoreError, StoreRefused, StoreUnreachable

_REFUSED = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EXDEV,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EFBIG,
    )
)
_FIXES = {
    errno.EACCES: "give the user that runs Tickcast the right to read and write there",
    errno.EPERM: "give the user that runs Tickcast the right to read and write there",
    errno.EROFS: "mount the file system for writing, or choose another folder",
    errno.ENOTDIR: "move away what stands where a folder has to be",
    errno.EISDIR: "move away the folder that stands where an object has to be",
    errno.EXDEV: "keep the whole store on one file system",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "raise the quota, or make room",
    errno.ENOENT: "mount the disk again, or let prepare() make the folder",
    errno.EMFILE: "raise the limit of open files",
}


@contextmanager
def translated(doing: str, where: Path) -> Iterator[None]:
    """Raise what goes wrong inside as StoreRefused, where only a change helps, else as StoreUnreachable."""
    try:
        yield
    except OSError as error:
        raise store_error(error, doing, where) from None


def store_error(error: OSError, doing: str, where: Path) -> StoreError:
    """The error of the store for one of the file system; an unknown one is taken for one that passes."""
    kind = StoreRefused if error.errno in _REFUSED else StoreUnreachable
    text = os.strerror(error.errno) if error.errno is not None else str(error)
    fix = _FIXES.get(error.errno or 0, "" if kind is StoreRefused else "trying again later can help")
    return kind(f"{doing} failed: {text}", str(where), fix)

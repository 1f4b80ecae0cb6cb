"""What only a store in a folder has to prove: nothing half is ever seen, and what the disk says is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.errors import ObjectMissing, StoreError, StoreRefused, StoreUnreachable
from cluster.storage import folder_store
from cluster.storage.folder_store import FolderStore
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec

_WRITER = """
import sys
from pathlib import Path
from cluster.storage.folder_store import FolderStore
FolderStore(Path(sys.argv[1])).put_file("trades/1.parquet", Path(sys.argv[2]))
"""
_HIDDEN = ".tickcast-partial"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def store(root: Path) -> ObjectStore:
    made = FolderStore(root)
    made.prepare()
    return made


def _kill_a_writer_in_the_middle(root: Path, tmp_path: Path) -> None:
    """Start a process that stores what comes through a pipe, and kill it when it has some of it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(root), str(pipe)])
    try:
        with pipe.open("wb") as source:
            # When all this is taken from the pipe, the writer has most of it in its file.
            source.write(bytes(8 * 2**20))
            source.flush()
            child.kill()
            child.wait(10)
    except BrokenPipeError:
        pass
    finally:
        child.kill()
        child.wait(10)


def test_a_killed_writer_leaves_nothing_that_shows(store: ObjectStore, root: Path, tmp_path: Path) -> None:
    _kill_a_writer_in_the_middle(root, tmp_path)
    left = list((root / _HIDDEN).iterdir())
    assert [path.stat().st_size > 2**20 for path in left] == [True]
    assert list(store.list()) == []
    assert list(root.glob("**/*.parquet")) == []
    with pytest.raises(ObjectMissing):
        store.get("trades/1.parquet")


def test_a_killed_writer_leaves_the_object_before(store: ObjectStore, root: Path, tmp_path: Path) -> None:
    store.put("trades/1.parquet", b"before")
    _kill_a_writer_in_the_middle(root, tmp_path)
    assert store.get("trades/1.parquet") == b"before"
    store.put("trades/1.parquet", b"after")
    assert store.get("trades/1.parquet") == b"after"


def test_prepare_removes_only_leftovers_that_nobody_writes_any_more(store: ObjectStore, root: Path) -> None:
    old, young = root / _HIDDEN / "old.partial", root / _HIDDEN / "young.partial"
    old.write_bytes(b"1")
    young.write_bytes(b"1")
    for path, age_s in ((old, 7200), (young, 600)):
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    store.prepare()
    assert list((root / _HIDDEN).iterdir()) == [young]


def test_a_put_that_fails_leaves_nothing(
    store: ObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patch:
        patch.setattr(folder_store.os, "fsync", full)
        with pytest.raises(StoreUnreachable, match="No space left on device; make room") as caught:
            store.put("a/b", b"1")
    assert str(root) in str(caught.value)
    assert list((root / _HIDDEN).iterdir()) == []
    assert list(store.list()) == []
    store.put("a/b", b"1")
    assert store.get("a/b") == b"1"


def test_an_object_is_on_the_disk_before_it_has_its_name(
    store: ObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}"), (root / "a/b").exists()))
        real(descriptor)

    monkeypatch.setattr(folder_store.os, "fsync", watch)
    store.put("a/b", b"1")
    partial, *names = seen
    assert Path(partial[0]).parent == root / _HIDDEN and not partial[1]
    # The new folder's name, then the object's.
    assert names == [(str(root), False), (str(root / "a"), True)]


def test_folders_that_are_empty_go_with_their_last_object(store: ObjectStore, root: Path) -> None:
    for key in ("t/date=1/a", "t/date=1/b", "t/date=2/a", "u/x/y/z"):
        store.put(key, b"1")
    store.delete(["t/date=1/a", "t/date=1/b", "u/x/y/z"])
    assert [path.name for path in root.iterdir() if path.name != _HIDDEN] == ["t"]
    assert [path.name for path in (root / "t").iterdir()] == ["date=2"]
    store.move("t/date=2/a", "archive/t/date=2/a")
    assert [path.name for path in root.iterdir() if path.name != _HIDDEN] == ["archive"]


def test_a_put_makes_its_folder_again_when_another_process_removes_it(
    store: ObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, calls = folder_store._make_folder, []

    def make_and_lose(folder: Path) -> None:
        make(folder)
        if folder == root / "t":
            calls.append(folder)
            if len(calls) <= 2:
                folder.rmdir()

    monkeypatch.setattr(folder_store, "_make_folder", make_and_lose)
    store.put("t/a", b"1")
    assert store.get("t/a") == b"1"
    assert len(calls) == 3


def test_a_reader_never_sees_parts_of_two_objects(store: ObjectStore) -> None:
    payloads = [bytes([number]) * (1_000_000 + number) for number in range(4)]
    store.put("a/b", payloads[0])
    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(store.put, "a/b", payload) for payload in payloads * 5]
        while not all(put.done() for put in puts):
            assert store.get("a/b") in payloads
            assert [info.key for info in store.list()] == ["a/b"]
        for put in puts:
            put.result()


def test_what_other_programs_leave_hidden_is_no_object(store: ObjectStore, root: Path) -> None:
    store.put("a/b", b"1")
    (root / "a" / ".b.swp").write_bytes(b"1")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"1")
    assert [info.key for info in store.list()] == ["a/b"]


def test_others_may_read_the_objects(store: ObjectStore, root: Path) -> None:
    store.put("a/b", b"1")
    umask = os.umask(0)
    os.umask(umask)
    assert (root / "a/b").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_that_is_gone_is_not_made_anew_by_a_put(store: ObjectStore, root: Path) -> None:
    store.put("a/b", b"1")
    root.rename(root.with_name("unmounted"))
    for call in (
        lambda: store.put("a/c", b"1"),
        lambda: store.get("a/b"),
        lambda: list(store.list()),
        lambda: store.move("a/b", "a/c"),
    ):
        with pytest.raises(StoreUnreachable, match="No such file or directory; mount the disk again"):
            call()
    assert not root.exists()


def test_what_stands_in_the_way_is_named(store: ObjectStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(StoreRefused, match=f"{tmp_path / 'file' / 'lake'}: .*Not a directory"):
        FolderStore(tmp_path / "file" / "lake").prepare()
    store.put("a/b", b"1")
    with pytest.raises(StoreRefused, match="Is a directory"):
        store.put("a", b"1")
    with pytest.raises(StoreRefused, match="Not a directory"):
        store.put("a/b/c", b"1")
    assert [info.key for info in store.list()] == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_we_may_not_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreRefused, match=r"Permission denied; give the user"):
            FolderStore(tmp_path / "lake").prepare()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreUnreachable),
        (errno.EDQUOT, StoreUnreachable),
        (errno.EIO, StoreUnreachable),
        (errno.ESTALE, StoreUnreachable),
        (errno.EMFILE, StoreUnreachable),
        (errno.EACCES, StoreRefused),
        (errno.EPERM, StoreRefused),
        (errno.EROFS, StoreRefused),
        (errno.EXDEV, StoreRefused),
    ],
)
def test_an_error_of_the_disk_says_whether_waiting_helps(
    store: ObjectStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    def fail(*anything: object) -> None:
        raise OSError(number, "")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(kind) as caught:
        store.put("a/b", b"1")
    assert os.strerror(number) in caught.value.problem
    assert caught.value.where == str(root)
    assert caught.value.fix


def test_a_relative_folder_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(StoreSpec(uri="lake"))
    store.prepare()
    monkeypatch.chdir("/")
    store.put("a", b"1")
    assert (tmp_path / "lake" / "a").read_bytes() == b"1"
    assert open_store(StoreSpec(uri=f"file://{tmp_path}/lake")).get("a") == b"1"


def test_opening_a_folder_brings_in_no_library(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from cluster.storage.objects import open_store
from cluster.storage.retention import RetentionSpec, apply_retention, install_retention
from cluster.storage.store_spec import StoreSpec
store = open_store(StoreSpec(uri=sys.argv[1]))
store.prepare()
store.put("a/b", b"1")
assert not install_retention(store, RetentionSpec(expire_days={"a": 1}))
assert [info.key for info in store.list()] == ["a/b"]
print(*{"minio", "urllib3", "pyarrow", "ray"} & set(sys.modules))
"""
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert child.stdout.strip() == ""

"""Snapshots refuse what does not fit; digests tell states apart and nothing else."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import state
from features.errors import SnapshotError

BLOCKS = {"first": b"\x00\n\xff", "empty": b"", "last": b"{}\n" * 9}


def test_blocks_come_back_as_they_were() -> None:
    assert state.unpack("thing", 3, "abc", state.pack("thing", 3, "abc", BLOCKS)) == BLOCKS


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("other", 3, "abc"), "other: this is a snapshot of 'thing'"),
        (("thing", 2, "abc"), "thing: its version 3 is newer than ours, 2"),
        (("thing", 4, "abc"), "thing: its version 3 is older than ours, 4"),
        (("thing", 3, "abd"), "thing: it was taken with other settings"),
    ],
)
def test_a_snapshot_of_something_else_is_refused(asked: tuple[str, int, str], says: str) -> None:
    with pytest.raises(SnapshotError) as error:
        state.unpack(*asked, state.pack("thing", 3, "abc", BLOCKS))
    assert says in str(error.value)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_damage(place: int, change: int) -> None:
    data = bytearray(state.pack("thing", 3, "abc", BLOCKS))
    data[place % len(data)] ^= change
    with pytest.raises(SnapshotError, match="damaged"):
        state.unpack("thing", 3, "abc", bytes(data))


@pytest.mark.parametrize("data", [b"", b"\n", b"5\n", b"hello", bytes(100)])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        state.unpack("thing", 3, "abc", data)


def test_every_cut_is_damage() -> None:
    data = state.pack("thing", 3, "abc", BLOCKS)
    for length in range(len(data)):
        with pytest.raises(SnapshotError):
            state.unpack("thing", 3, "abc", data[:length])


def test_arrays_come_back_with_dtype_shape_and_bits_and_can_be_written() -> None:
    arrays = {
        "a": np.array([[1.0, np.nan], [-0.0, np.inf]]),
        "empty": np.zeros((0, 3), np.int64),
        "strided": np.arange(12.0).reshape(3, 4)[:, ::2],
        "scalar": np.array(5, np.int8),
    }
    back = state.unpack_arrays(state.pack_arrays(**arrays))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()
        back[name][...] = 0


def test_a_digest_sees_where_parts_end() -> None:
    assert state.digest(b"ab", b"c") != state.digest(b"a", b"bc")
    assert state.digest(b"abc") != state.digest(b"abc", b"")
    assert state.digest(b"ab", b"c") == state.digest(b"ab", b"c")


class Thing:
    """Any picklable object."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)


def thing() -> Thing:
    name = "a shared string"
    shared = [1, 2.5]
    return Thing(
        one=name, two=name, numbers=shared, again=shared, table={"k": {3, 1, 2}, 4: (None, True)},
        array=np.arange(3.0), random=random.Random(7), inner=Thing(x=1e-300), kind=dict, call=len,
    )  # fmt: skip


def test_a_restored_object_has_the_digest_of_the_original() -> None:
    original = thing()
    once = pickle.loads(pickle.dumps(original))
    assert state.object_digest(once) == state.object_digest(original)
    assert state.object_digest(pickle.loads(pickle.dumps(once))) == state.object_digest(original)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t, "one", "another"),
        lambda t: t.numbers.append(3),
        lambda t: t.table["k"].add(9),
        lambda t: t.array.__setitem__(1, np.nextafter(1.0, 2.0)),
        lambda t: t.random.random(),
        lambda t: setattr(t.inner, "x", 2e-300),
        lambda t: setattr(t, "kind", list),
        lambda t: setattr(t, "again", list(t.numbers)),
        lambda t: setattr(t, "new", 0),
    ],
)
def test_any_change_of_an_object_changes_its_digest(change) -> None:  # type: ignore[no-untyped-def]
    changed = thing()
    change(changed)
    assert state.object_digest(changed) != state.object_digest(thing())


def test_numbers_of_other_types_differ() -> None:
    assert len({state.object_digest(value) for value in (1, 1.0, True, "1", b"1", None)}) == 6

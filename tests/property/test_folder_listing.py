"""A folder lists the keys that were put, in their order, whatever characters they hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage.folder_store import FolderStore
from cluster.storage.objects import is_key

# Few letters, among them those that sort around the slash, so that keys are often alike.
_SEGMENT = st.text(st.sampled_from("ab-./0 ü%+=~!"), min_size=1, max_size=4)
_KEY = st.lists(_SEGMENT, min_size=1, max_size=3).map("/".join).filter(is_key)


def _apart(keys: list[str]) -> list[str]:
    """Those keys of which none is a folder of another."""
    kept: list[str] = []
    for key in keys:
        if not any(
            key == other or f"{key}/".startswith(f"{other}/") or other.startswith(f"{key}/") for other in kept
        ):
            kept.append(key)
    return kept


@settings(max_examples=60, deadline=None)
@given(st.lists(_KEY, max_size=12).map(_apart), _KEY, st.data())
def test_a_listing_is_the_sorted_keys_that_begin_with_the_prefix(
    keys: list[str], other: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        store.prepare()
        for key in keys:
            store.put(key, key.encode())
        assert [info.key for info in store.list()] == sorted(keys)
        whole = data.draw(st.sampled_from([*keys, other]))
        prefix = whole[: data.draw(st.integers(0, len(whole)))]
        assert [info.key for info in store.list(prefix)] == sorted(k for k in keys if k.startswith(prefix))
        store.delete(keys)
        assert list(store.list()) == []
        assert [path.name for path in Path(folder).iterdir()] == [".tickcast-partial"]

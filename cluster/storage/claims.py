"""Exclusive creation of an object in a store that has no such call.

It asks for no more than reads that see every write that has ended before them, listings too, which every
S3 server of today gives. Who wants to create a key

1. puts a claim under a name of its own, `claims/<key>/<random>`, and lists the claims on the key:
   where there is another, it removes its own, waits for a random while and begins again;
2. looks whether the object is there; only if it is not, puts it;
3. removes its claim.

Of two, at most one ever gets to step 2 at a time: each has put its claim before it listed, so the one that
listed later has seen the other's, unless that was removed, and then step 2 finds the object. A process that
dies leaves its claim behind: one that is older, by the store's clock, than `ABANDONED_AFTER_NS` counts for
nothing and is removed. So nobody may rest for so long between steps 1 and 2.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from uuid import uuid4

from cluster.errors import ObjectMissing, StoreUnreachable
from cluster.storage.objects import ObjectStore

ABANDONED_AFTER_NS = 600 * 10**9
_ATTEMPTS = 12
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 2.0


def put_new(store: ObjectStore, key: str, data: bytes, pause: Callable[[float], None] = time.sleep) -> bool:
    """`ObjectStore.put_new` by way of claims; `pause` waits between attempts.

    Raises StoreUnreachable when others are at it all the time, or one of them has died there.
    """
    for attempt in range(_ATTEMPTS):
        found = _get(store, key)
        if found is not None:
            return found == data
        if (done := _attempt(store, key, data)) is not None:
            return done
        longest_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
        pause(longest_s * random.uniform(0.2, 1.0))
    raise StoreUnreachable(
        f"others are creating {key!r}",
        store.uri,
        "trying again later can help; who died there blocks it 10 min",
    )


def _attempt(store: ObjectStore, key: str, data: bytes) -> bool | None:
    """Create the object; None where somebody else may be about to."""
    mine = f"claims/{key}/{uuid4().hex}"
    store.put(mine, data)
    try:
        claims = list(store.list(f"claims/{key}/"))
        now_ns = next((one.modified_ns for one in claims if one.key == mine), None)
        if now_ns is None:
            return None
        old = [one.key for one in claims if now_ns - one.modified_ns > ABANDONED_AFTER_NS]
        others = [one.key for one in claims if one.key != mine and one.key not in old]
        # A listing may still name what is gone (rclone's does, after several have put at once).
        if any(_get(store, key) is not None for key in others):
            return None
        store.delete(old)
        found = _get(store, key)
        if found is None:
            store.put(key, data)
        return found in (None, data)
    finally:
        store.delete([mine])


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectMissing:
        return None

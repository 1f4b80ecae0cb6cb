"""How long what is in a store is kept, and who sees to it: the store itself, or a job.

    spec = RetentionSpec(expire_days={"trades": 90, "archive/trades": 730})
    if not install_retention(store, spec):
        apply_retention(store, spec, now_ns)

An S3 server can keep the rules itself, as lifecycle rules of the bucket. A folder can't, nor can every
server: there a job calls `apply_retention` now and then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from cluster.storage.objects import ObjectInfo, ObjectStore, is_key
from features.errors import ConfigError, DataError

_DAY_NS = 86_400 * 10**9
_DATE = re.compile(r"(?:([a-z]+)/(?:(?:venue|symbol)=[^/]+/)*|^|/)date=(\d{4}-\d\d-\d\d)(?=/)")
_BATCH = 1000


class RetentionSpec(BaseModel):
    """What may be removed or moved to cheaper storage, and when. By default nothing.

    A table is the beginning of keys up to a slash: "trades", "archive/trades", "trades/venue=binance".
    Days count from the end of the day or year in the key (`date=YYYY-MM-DD`), or else from when the
    object was put, where a job applies them; lifecycle rules of S3 always count from when it was put.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    expire_days: dict[str, PositiveInt] = {}
    """Table → days after which its objects are removed."""
    transition_days: dict[str, PositiveInt] = {}
    """Table → days after which its objects go to `transition_storage_class`. Lifecycle rules only."""
    transition_storage_class: str | None = None
    """What the server calls the cheaper storage: "GLACIER_IR" on AWS, the name of a tier on MinIO."""
    abort_incomplete_uploads_days: PositiveInt | None = 2
    """What killed writers left of large uploads goes after so long. Lifecycle rules only."""
    versioning: bool = False
    """Turn on versioning of the whole bucket: what is replaced or removed is kept for a while longer.
    False leaves it as it is."""
    old_versions_days: int = Field(7, ge=1)
    """With versioning: how long replaced and removed objects are kept."""

    @model_validator(mode="after")
    def _check_meaning(self) -> RetentionSpec:
        for where, tables in (("expire_days", self.expire_days), ("transition_days", self.transition_days)):
            for table in tables:
                if not is_key(table):
                    raise ConfigError(f"is no table: {table!r}", where, 'write it like "archive/trades"')
        if bool(self.transition_days) != (self.transition_storage_class is not None):
            raise ConfigError(
                "one is given without the other",
                "transition_days and transition_storage_class",
                "give both, or none",
            )
        for table, days in self.transition_days.items():
            if table in self.expire_days and days >= self.expire_days[table]:
                raise ConfigError(
                    f"{table} would be removed before it is moved", "transition_days", "take fewer days"
                )
        return self

    @property
    def asks(self) -> bool:
        """Whether it asks for anything beyond the clearing of incomplete uploads."""
        return bool(self.expire_days or self.transition_days or self.versioning)


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A lifecycle rule of the bucket. Days are None where the rule does not speak of them."""

    rule_id: str
    prefix: str
    """The names of objects that it is about begin so; "" are all of the bucket."""
    enabled: bool
    ours: bool
    """Whether `install_retention` made it for this store; others are never touched."""
    expire_days: int | None
    transition_days: int | None
    transition_storage_class: str | None
    abort_incomplete_uploads_days: int | None
    old_versions_days: int | None


@dataclass(frozen=True, slots=True)
class RetentionInForce:
    """What the store itself does about retention."""

    rules: tuple[RuleInForce, ...]
    versioning: str
    """"Off", "Enabled" or "Suspended"."""


@dataclass(slots=True)
class RetentionReport:
    """What `apply_retention` removed."""

    objects: dict[str, int] = field(default_factory=dict)
    """Table → how many."""
    freed_bytes: int = 0


def install_retention(store: ObjectStore, spec: RetentionSpec) -> bool:
    """Hand the rules to the store itself. Call it as often as you like: what is right already stays.

    True when the store sees to it from now on; rules of others in the bucket stay as they are. False when
    a job has to: for a folder, or when nothing is asked of a server that keeps no rules. StoreRefused
    when something is asked of such a server.
    """
    from cluster.storage.folder_store import FolderStore

    if isinstance(store, FolderStore):
        return False
    from cluster.storage.s3_lifecycle import BucketLifecycle

    return BucketLifecycle.of(store).install(spec)


def describe_retention(store: ObjectStore) -> RetentionInForce | None:
    """The rules that the store keeps itself, ours and others; None when it keeps none at all."""
    from cluster.storage.folder_store import FolderStore

    if isinstance(store, FolderStore):
        return None
    from cluster.storage.s3_lifecycle import BucketLifecycle

    return BucketLifecycle.of(store).describe()


def expired(store: ObjectStore, spec: RetentionSpec, now_ns: int) -> Iterator[tuple[str, ObjectInfo]]:
    """The objects that have had their time, each with the table that says so."""
    for table, days in spec.expire_days.items():
        limit_ns = now_ns - days * _DAY_NS
        for info in store.list(f"{table}/"):
            if _end_ns(info) <= limit_ns:
                yield table, info


def apply_retention(store: ObjectStore, spec: RetentionSpec, now_ns: int) -> RetentionReport:
    """Remove what has had its time. Stopped at any point, the next call goes on; safe beside writers."""
    report = RetentionReport(dict.fromkeys(spec.expire_days, 0))
    found = expired(store, spec, now_ns)
    while batch := list(islice(found, _BATCH)):
        store.delete(info.key for _, info in batch)
        for table, info in batch:
            report.objects[table] += 1
            report.freed_bytes += info.size
    return report


def _end_ns(info: ObjectInfo) -> int:
    """The end of the day or year that the object is about, else when it was put."""
    # Here, as only who applies retention needs the tables, and with them pyarrow.
    from cluster.storage import layout

    found = _DATE.findall(info.key)
    try:
        return layout.period_end_ns(*found[-1])
    except (IndexError, DataError):
        return info.modified_ns

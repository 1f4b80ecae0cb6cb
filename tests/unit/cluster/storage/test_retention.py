"""Retention: what a job removes, and the lifecycle rules that a bucket is given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from minio.lifecycleconfig import LifecycleConfig

from cluster import config
from cluster.errors import StoreRefused
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.retention import (
    RetentionSpec,
    RuleInForce,
    apply_retention,
    describe_retention,
    expired,
    install_retention,
)
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError
from jobs.s3_server import S3Server
from tests.unit.cluster.storage.wire import Answer, Request, Wire

_DAY_NS = 86_400 * 10**9
_NOON_NS = int(datetime(2024, 5, 11, 12, tzinfo=UTC).timestamp()) * 10**9


def _keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list()]


def test_objects_go_when_their_day_is_over_for_long_enough(store: ObjectStore) -> None:
    kept = [
        "trades/symbol=A/date=2024-05-02/1.parquet",
        "trades/symbol=A/date=2024-05-12/1.parquet",
        "quotes/symbol=A/date=2020-01-01/1.parquet",
        "trades_old/date=2020-01-01/1.parquet",
    ]
    gone = ["trades/symbol=A/date=2024-04-30/1.parquet", "trades/symbol=B/date=2024-05-01/1.parquet"]
    for key in kept + gone:
        store.put(key, b"12345")
    spec = RetentionSpec(expire_days={"trades": 9})
    assert [(table, info.key) for table, info in expired(store, spec, _NOON_NS)] == [
        ("trades", key) for key in gone
    ]
    report = apply_retention(store, spec, _NOON_NS)
    assert (report.objects, report.freed_bytes) == ({"trades": 2}, 10)
    assert _keys(store) == sorted(kept)
    assert apply_retention(store, spec, _NOON_NS).objects == {"trades": 0}
    # Ten minutes before its ninth day is over, an object is still there; then it is not.
    end_ns = int(datetime(2024, 5, 12, tzinfo=UTC).timestamp()) * 10**9
    assert apply_retention(store, spec, end_ns - 600 * 10**9).objects == {"trades": 0}
    assert apply_retention(store, spec, end_ns).objects == {"trades": 1}


@pytest.mark.parametrize(
    "key", ["models/1", "models/date=2024-13-45/1", "models/update=2000-01-01/1", "models/date=2000-01-01"]
)
def test_without_a_day_the_time_of_the_put_counts(store: ObjectStore, key: str) -> None:
    store.put(key, b"1")
    [info] = store.list()
    spec = RetentionSpec(expire_days={"models": 3})
    apply_retention(store, spec, info.modified_ns + 3 * _DAY_NS - 1)
    assert _keys(store) == [key]
    apply_retention(store, spec, info.modified_ns + 3 * _DAY_NS)
    assert _keys(store) == []


def test_of_two_tables_the_shorter_time_counts(store: ObjectStore) -> None:
    for key in ("trades/venue=a/date=2024-05-01/1", "trades/venue=b/date=2024-05-01/1"):
        store.put(key, b"1")
    report = apply_retention(store, RetentionSpec(expire_days={"trades": 50, "trades/venue=b": 2}), _NOON_NS)
    assert report.objects == {"trades": 0, "trades/venue=b": 1}
    assert _keys(store) == ["trades/venue=a/date=2024-05-01/1"]


def test_nothing_is_removed_unless_asked(store: ObjectStore) -> None:
    store.put("trades/date=2000-01-01/1", b"1")
    assert apply_retention(store, RetentionSpec(), _NOON_NS).objects == {}
    assert _keys(store) == ["trades/date=2000-01-01/1"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"expire_days": {"trades": 0}}, "expire_days.trades"),
        ({"expire_days": {"../trades": 1}}, "expire_days: is no table: '../trades'"),
        ({"expire_days": {"": 1}}, "expire_days: is no table"),
        (
            {"transition_days": {"trades/": 1}, "transition_storage_class": "COLD"},
            "transition_days: is no table",
        ),
        ({"transition_days": {"trades": 1}}, "one is given without the other"),
        ({"transition_storage_class": "COLD"}, "one is given without the other"),
        (
            {"expire_days": {"a": 5}, "transition_days": {"a": 5}, "transition_storage_class": "COLD"},
            "a would be removed before it is moved",
        ),
        ({"expire": {}}, "unknown key 'expire'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(RetentionSpec, values, "tickcast.yaml")
    assert words in str(caught.value)


def test_a_folder_leaves_retention_to_a_job(tmp_path: Path) -> None:
    store = open_store(StoreSpec(uri=str(tmp_path)))
    assert install_retention(store, RetentionSpec(expire_days={"trades": 1})) is False
    assert describe_retention(store) is None


def test_a_server_without_lifecycle_rules_is_found_out(shared_s3: S3Server) -> None:
    store = open_store(shared_s3.spec("lifecycle"))
    store.prepare()
    for spec in (RetentionSpec(expire_days={"trades": 1}), RetentionSpec(versioning=True)):
        with pytest.raises(StoreRefused, match="keeps no lifecycle rules; let a job remove what has expired"):
            install_retention(store, spec)
    assert install_retention(store, RetentionSpec()) is False
    assert describe_retention(store) is None


class Bucket:
    """A bucket's administration as AWS documents it: lifecycle and versioning, and nothing else."""

    def __init__(self, lifecycle: str | None = None) -> None:
        self.lifecycle = lifecycle
        self.versioning = ""
        self.writes: list[str] = []

    def __call__(self, request: Request) -> Answer:
        assert request.path == "/lake"
        if request.method != "GET":
            self.writes.append(request.what)
        xml = {"Content-Type": "application/xml"}
        if "versioning" in request.query:
            if request.method == "PUT":
                self.versioning = request.body.decode()
            return Answer(200, self.versioning or "<VersioningConfiguration/>", xml)
        assert "lifecycle" in request.query
        if request.method == "PUT":
            assert request.headers["content-md5"]
            self.lifecycle = request.body.decode()
            return Answer()
        if request.method == "DELETE":
            self.lifecycle = None
            return Answer(204)
        if self.lifecycle is None:
            return Answer.error(
                404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"
            )
        return Answer(200, self.lifecycle, xml)


_FULL = RetentionSpec(
    expire_days={"trades": 90, "archive/trades": 730},
    transition_days={"archive/trades": 30},
    transition_storage_class="COLD",
    versioning=True,
    old_versions_days=5,
)


def test_the_rules_are_those_of_the_spec() -> None:
    bucket = Bucket()
    with Wire(bucket) as wire:
        store = open_store(wire.spec(uri="s3://lake/my desk"))
        assert install_retention(store, _FULL) is True
        found = describe_retention(store)
    assert found is not None
    assert found.versioning == "Enabled"
    common = {"enabled": True, "ours": True, "transition_days": None, "transition_storage_class": None}
    common |= {"expire_days": None, "abort_incomplete_uploads_days": None, "old_versions_days": None}
    archive = {"expire_days": 730, "transition_days": 30, "transition_storage_class": "COLD"}
    wanted: list[dict[str, Any]] = [
        {"rule_id": "keep:my%20desk:archive/trades", "prefix": "my desk/archive/trades/", **archive},
        {"rule_id": "keep:my%20desk:trades", "prefix": "my desk/trades/", "expire_days": 90},
        {"rule_id": "uploads:my%20desk:", "prefix": "my desk/", "abort_incomplete_uploads_days": 2},
        {"rule_id": "versions:my%20desk:", "prefix": "my desk/", "old_versions_days": 5},
    ]
    assert list(found.rules) == [
        RuleInForce(**(common | rule | {"rule_id": f"tickcast-{rule['rule_id']}"})) for rule in wanted
    ]
    # What went over the wire is what minio's own classes read, in S3's name space.
    assert bucket.lifecycle is not None
    document = ElementTree.fromstring(bucket.lifecycle)
    assert document.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}LifecycleConfiguration"
    assert [rule.rule_id for rule in LifecycleConfig.fromxml(document).rules] == [
        rule.rule_id for rule in found.rules
    ]


def test_installing_again_writes_nothing_and_a_change_writes_once() -> None:
    bucket = Bucket()
    with Wire(bucket) as wire:
        store = open_store(wire.spec())
        install_retention(store, _FULL)
        assert bucket.writes == ["PUT versioning", "PUT lifecycle"]
        install_retention(store, _FULL)
        assert bucket.writes == ["PUT versioning", "PUT lifecycle"]
        install_retention(store, _FULL.model_copy(update={"expire_days": {"trades": 91}}))
        assert bucket.writes == ["PUT versioning", "PUT lifecycle", "PUT lifecycle"]
        found = describe_retention(store)
    assert found is not None
    assert [rule.expire_days for rule in found.rules if rule.prefix == "desk/trades/"] == [91]


_OTHERS = (
    '<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Rule><ID>old style</ID><Prefix>logs/</Prefix><Status>Enabled</Status>"
    "<Expiration><Days>1</Days></Expiration></Rule>"
    "<Rule><ID>large</ID><Filter><And><Prefix>big/</Prefix><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"
    "</And></Filter><Status>Disabled</Status>"
    "<Transition><Days>1</Days><StorageClass>A</StorageClass></Transition>"
    "<Transition><Days>9</Days><StorageClass>B</StorageClass></Transition></Rule>"
    "</LifecycleConfiguration>"
)


def _rules(document: str) -> list[str]:
    """Each rule as text, without white space and name spaces."""
    root = ElementTree.fromstring(document)
    return [ElementTree.tostring(rule, encoding="unicode") for rule in root]


def test_rules_of_others_stay_as_they_are() -> None:
    bucket = Bucket(_OTHERS)
    with Wire(bucket) as wire:
        store = open_store(wire.spec())
        install_retention(store, RetentionSpec(expire_days={"trades": 9}))
        assert bucket.lifecycle is not None
        assert set(_rules(_OTHERS)) < set(_rules(bucket.lifecycle))
        found = describe_retention(store)
        assert found is not None
        others = [(rule.rule_id, rule.prefix, rule.enabled) for rule in found.rules if not rule.ours]
        assert others == [("old style", "logs/", True), ("large", "big/", False)]
        install_retention(store, RetentionSpec(abort_incomplete_uploads_days=None))
        assert _rules(bucket.lifecycle) == _rules(_OTHERS)


def test_stores_that_share_a_bucket_keep_rules_of_their_own() -> None:
    bucket = Bucket()
    with Wire(bucket) as wire:
        stores = [open_store(wire.spec(uri=f"s3://lake{prefix}")) for prefix in ("", "/a", "/a/b")]
        for days, store in enumerate(stores, 1):
            install_retention(store, RetentionSpec(expire_days={"a": days}))
        for days, store in enumerate(stores, 1):
            found = describe_retention(store)
            assert found is not None
            assert [rule.expire_days for rule in found.rules if rule.ours and rule.expire_days] == [days]
            assert len(found.rules) == 6
        for store in stores:
            install_retention(store, RetentionSpec(abort_incomplete_uploads_days=None))
        assert bucket.lifecycle is None
        assert bucket.writes[-1] == "DELETE lifecycle"


def test_rules_that_we_may_not_change_are_refused_with_what_to_do() -> None:
    with (
        Wire(lambda _: Answer.error(403, "AccessDenied")) as wire,
        pytest.raises(StoreRefused, match="check access_key"),
    ):
        install_retention(open_store(wire.spec()), RetentionSpec())

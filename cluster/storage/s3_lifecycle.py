"""Retention as lifecycle rules of a bucket, which the S3 server carries out itself.

A bucket has one document of rules, and whoever writes it writes all of it. So the rules of others are
carried over as they stand: they may hold what the client's own classes would lose, like a size filter or
the prefix of an old style rule, without which it would be about the whole bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from minio.commonconfig import ENABLED, Filter
from minio.error import InvalidResponseError, S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
    Transition,
)
from minio.versioningconfig import VersioningConfig

from cluster.errors import StoreRefused
from cluster.storage.objects import ObjectStore
from cluster.storage.retention import RetentionInForce, RetentionSpec, RuleInForce
from cluster.storage.s3_errors import code_and_message
from cluster.storage.s3_store import S3Store

_OURS = "tickcast-"
_DOCUMENT = "LifecycleConfiguration"


@dataclass(frozen=True)
class _WithOthers(LifecycleConfig):
    """Our rules, and those of others as they came."""

    others: list[Element] = field(default_factory=list)

    def toxml(self, element: Element | None) -> Element:
        document = super().toxml(element)
        document.extend(self.others)
        return document


class BucketLifecycle:
    """The lifecycle rules of one store, among those of its bucket."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        # Several stores may share a bucket under different prefixes: each knows its own rules.
        self._mark = f":{quote(store.root.rstrip('/'))}:"

    @classmethod
    def of(cls, store: ObjectStore) -> BucketLifecycle:
        """The rules of a store in a bucket."""
        if not isinstance(store, S3Store):
            raise StoreRefused("is no bucket", store.uri, "use a uri like s3://bucket/prefix")
        return cls(store)

    def install(self, spec: RetentionSpec) -> bool:
        """Make the bucket's rules for this store those of the spec. See `retention.install_retention`."""
        present = self._read()
        if present is None:
            if not spec.asks:
                return False
            fix = "let a job remove what has expired instead (apply_retention)"
            raise self._store.errors.error(StoreRefused, "this server keeps no lifecycle rules", fix)
        if spec.versioning:
            self._turn_on_versioning()
        wanted = rules(spec, self._store.root, self._mark)
        ours = [rule for rule in present if self._is_ours(rule)]
        if _read_rules(ours) != {rule.rule_id: rule for rule in wanted}:
            self._write(wanted, [rule for rule in present if rule not in ours])
        return True

    def describe(self) -> RetentionInForce | None:
        """What is in force; None when the server keeps no lifecycle rules."""
        present = self._read()
        if present is None:
            return None
        found = tuple(_described(rule, self._is_ours(rule)) for rule in present)
        return RetentionInForce(found, self._versioning())

    def _is_ours(self, rule: Element) -> bool:
        name = rule.findtext("ID") or ""
        return name.startswith(_OURS) and self._mark in name

    def _read(self) -> list[Element] | None:
        """The rules of the bucket; None when this server keeps none.

        The document itself, which the client gives only through the call beneath its own."""
        store = self._store
        with store.asking("reading the lifecycle rules"):
            try:
                answer = store.client._execute("GET", store.bucket, query_params={"lifecycle": ""})
            except (S3Error, InvalidResponseError) as error:
                code = _code(error)
                if code == "NoSuchLifecycleConfiguration":
                    return []
                if code in ("NotImplemented", "MethodNotAllowed"):
                    return None
                raise
            document = ElementTree.fromstring(answer.data)
        for element in document.iter():
            element.tag = element.tag.rpartition("}")[2]
        # A server that does not know the question answers another: rclone lists the bucket.
        return document.findall("Rule") if document.tag == _DOCUMENT else None

    def _write(self, ours: list[Rule], others: list[Element]) -> None:
        store = self._store
        with store.asking("writing the lifecycle rules"):
            if ours or others:
                store.client.set_bucket_lifecycle(store.bucket, _WithOthers(ours, others))
            else:
                store.client.delete_bucket_lifecycle(store.bucket)

    def _versioning(self) -> str:
        with self._store.asking("reading the versioning"):
            return self._store.client.get_bucket_versioning(self._store.bucket).status_string

    def _turn_on_versioning(self) -> None:
        if self._versioning() != ENABLED:
            with self._store.asking("turning on versioning"):
                self._store.client.set_bucket_versioning(self._store.bucket, VersioningConfig(ENABLED))


def rules(spec: RetentionSpec, root: str, mark: str) -> list[Rule]:
    """The lifecycle rules of a spec, for a store whose objects' names begin with `root`.

    `mark` is a part of every id, by which the store knows its rules again."""
    found = [
        Rule(
            ENABLED,
            rule_filter=Filter(prefix=f"{root}{table}/"),
            rule_id=f"{_OURS}keep{mark}{quote(table)}",
            expiration=_expiration(spec.expire_days.get(table)),
            transition=_transition(spec.transition_days.get(table), spec.transition_storage_class),
        )
        for table in sorted({*spec.expire_days, *spec.transition_days})
    ]
    everything = Filter(prefix=root)
    if spec.abort_incomplete_uploads_days is not None:
        abort = AbortIncompleteMultipartUpload(spec.abort_incomplete_uploads_days)
        found.append(
            Rule(
                ENABLED,
                rule_filter=everything,
                rule_id=f"{_OURS}uploads{mark}",
                abort_incomplete_multipart_upload=abort,
            )
        )
    if spec.versioning:
        found.append(
            Rule(
                ENABLED,
                rule_filter=everything,
                rule_id=f"{_OURS}versions{mark}",
                # A removed object leaves a mark behind; it goes when no old version is left.
                expiration=Expiration(expired_object_delete_marker=True),
                noncurrent_version_expiration=NoncurrentVersionExpiration(spec.old_versions_days),
            )
        )
    return found


def _expiration(days: int | None) -> Expiration | None:
    return None if days is None else Expiration(days=days)


def _transition(days: int | None, storage_class: str | None) -> Transition | None:
    return None if days is None else Transition(days=days, storage_class=storage_class)


def _read_rules(elements: list[Element]) -> dict[str | None, Rule]:
    """Our rules as the server has them; one that was changed beyond reading is left out, and so differs."""
    found = {}
    for element in elements:
        try:
            rule = Rule.fromxml(element)
        except ValueError:
            continue
        found[rule.rule_id] = rule
    return found


def _described(rule: Element, ours: bool) -> RuleInForce:
    prefixes = (rule.findtext(path) for path in ("Filter/Prefix", "Filter/And/Prefix", "Prefix"))
    return RuleInForce(
        rule_id=rule.findtext("ID") or "",
        prefix=next((prefix for prefix in prefixes if prefix), ""),
        enabled=rule.findtext("Status") == ENABLED,
        ours=ours,
        expire_days=_number(rule, "Expiration/Days"),
        transition_days=_number(rule, "Transition/Days"),
        transition_storage_class=rule.findtext("Transition/StorageClass"),
        abort_incomplete_uploads_days=_number(rule, "AbortIncompleteMultipartUpload/DaysAfterInitiation"),
        old_versions_days=_number(rule, "NoncurrentVersionExpiration/NoncurrentDays"),
    )


def _number(rule: Element, path: str) -> int | None:
    text = rule.findtext(path)
    return int(text) if text else None


def _code(error: S3Error | InvalidResponseError) -> str | None:
    """S3's code, also where the server did not call its answer application/xml."""
    if isinstance(error, S3Error):
        return error.code
    _, _, body = error.__reduce__()[1]  # type: ignore[no-untyped-call]
    found = code_and_message(body or "")
    return found[0] if found else None

"""An object store in a bucket of an S3 server: AWS, MinIO or any other that speaks its protocol.

S3 shows an object when its upload is complete, and not before; an upload in parts that fails is aborted.
What a killed process leaves of one is invisible, and the server removes it after some days if the
retention says so (cluster/storage/retention.py).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error

from cluster.errors import StoreError, StoreRefused, StoreUnreachable
from cluster.storage import claims, s3_client
from cluster.storage.objects import ObjectInfo, check_key, check_prefix, is_key
from cluster.storage.s3_errors import S3Errors
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError

_MOST_PARTS = 10_000
_PROBE = ".tickcast-probe"


class S3Store:
    """Objects in a bucket, under a prefix. See `objects.ObjectStore` for what each call guarantees."""

    def __init__(self, spec: StoreSpec) -> None:
        self._spec = spec
        self._credentials = s3_client.StoreCredentials(spec)
        self.bucket, prefix = spec.bucket_and_prefix
        self.root = f"{prefix}/" if prefix else ""
        """What all names of objects in the bucket begin with."""
        self.client = s3_client.connect(spec, self._credentials)
        self._conditional: bool | None = None
        """Whether the server honours conditional writes; None before it was tried."""
        self.errors = S3Errors(f"{spec.uri} at {s3_client.address(spec)}", self._credentials.redacted)

    @property
    def uri(self) -> str:
        """The bucket and the prefix."""
        return self._spec.uri

    def prepare(self) -> None:
        """Make the bucket if it is not there; put and remove a tiny object that no listing shows."""
        with self.asking("looking for the bucket"):
            found = self.client.bucket_exists(self.bucket)
        if not found:
            self._make_bucket()
        with self.asking("writing a probe"):
            self._put(f"{self.root}{_PROBE}", io.BytesIO(b"tickcast"), 8)
        with self.asking("removing the probe"):
            self.client.remove_object(self.bucket, f"{self.root}{_PROBE}")

    def put(self, key: str, data: bytes) -> None:
        """Store an object, in parts if it is larger than one."""
        with self.asking(f"storing {key!r}"):
            self._put(self._name(key), io.BytesIO(data), len(data))

    def put_new(self, key: str, data: bytes) -> bool:
        """Store an object unless another one is there: by a conditional write (`If-None-Match: *`, which AWS
        and MinIO honour), else by the protocol of `claims`, which only asks for reads that see all writes.
        """
        if self._conditional is None:
            self._conditional = self._honours_conditions()
        if not self._conditional:
            return claims.put_new(self, key, data)
        with self.asking(f"storing {key!r}"):
            # A second try of the client's may find what its first has stored: the bytes tell.
            return self._put_if_none(self._name(key), data) or self.get(key) == data

    def put_file(self, key: str, path: Path) -> None:
        """Store a copy of a file; one part of it is in memory at a time."""
        name = self._name(key)
        try:
            with path.open("rb") as source, self.asking(f"storing {key!r}"):
                self._put(name, source, path.stat().st_size)
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror or error}", str(path)) from None

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""
        with self.asking(f"reading {key!r}", key):
            response = self.client.get_object(self.bucket, self._name(key))
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their keys, fetched a thousand at a time."""
        check_prefix(prefix)
        last = ""
        with self.asking("listing"):
            for found in self.client.list_objects(self.bucket, self.root + prefix, recursive=True):
                key = (found.object_name or "").removeprefix(self.root)
                if not is_key(key) or key == last:
                    # A folder mark or a hidden object of another program; rclone may name an object twice
                    # that several clients have put at once.
                    continue
                if key < last:
                    raise self.errors.error(
                        StoreRefused, "lists objects in no order", "use a general purpose bucket"
                    )
                last = key
                modified = found.last_modified
                modified_ns = round(modified.timestamp() * 1000) * 10**6 if modified else 0
                yield ObjectInfo(key, found.size or 0, modified_ns)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, a thousand in one request. What is refused does not keep the others."""
        names = (DeleteObject(self._name(key)) for key in keys)
        with self.asking("removing objects"):
            failed = [
                error
                for error in self.client.remove_objects(self.bucket, names)
                if error.code not in ("NoSuchKey", "NoSuchVersion")
            ]
        if failed:
            raise self._delete_error(failed)

    def move(self, key: str, to: str) -> None:
        """Copy on the server, then remove. Raises ObjectMissing."""
        source, target = self._name(key), self._name(to)
        with self.asking(f"moving {key!r}", key):
            if source == target:
                self.client.stat_object(self.bucket, source)
                return
            # Above 5 GiB the client copies in parts.
            copied = self.client.copy_object(self.bucket, target, CopySource(self.bucket, source))
            self._check_done(copied.etag)
            self.client.remove_object(self.bucket, source)

    def filesystem(self) -> tuple[Any, str]:
        """pyarrow's S3 file system with the credentials of this moment, and "bucket/prefix"."""
        path = f"{self.bucket}/{self.root}".rstrip("/")
        return s3_client.arrow_filesystem(self._spec, self._credentials), path

    def asking(self, doing: str, key: str | None = None) -> AbstractContextManager[None]:
        """Inside it, errors of the client become those of the store; `doing` is for the message."""
        return self.errors.during(doing, key)

    def _name(self, key: str) -> str:
        check_key(key)
        return self.root + key

    def _put(self, name: str, source: BinaryIO, size: int) -> None:
        # One part after the other: after a failed part the client would still read and send the ones
        # beside it, and its threads would outlive an error of the source.
        written = self.client.put_object(
            self.bucket,
            name,
            source,
            size,
            part_size=max(self._spec.part_bytes, -(-size // _MOST_PARTS)),
            num_parallel_uploads=1,
        )
        self._check_done(written.etag)

    def _check_done(self, etag: str | None) -> None:
        # S3 may find out after its "200 OK" that it can't complete an upload; then there is no ETag.
        if not etag:
            raise self.errors.error(
                StoreUnreachable, "did not confirm that the object is stored", "trying again later can help"
            )

    def _honours_conditions(self) -> bool:
        """Try it: put a hidden object twice. A server that knows no conditions takes both."""
        name = f"{self.root}{_PROBE}-{uuid4().hex}"
        with self.asking("trying a conditional write"):
            try:
                taken = [self._put_if_none(name, b"tickcast") for _ in range(2)]
            except S3Error as error:
                if error.code != "NotImplemented":
                    raise
                return False
            self.client.remove_object(self.bucket, name)
        return taken == [True, False]

    def _put_if_none(self, name: str, data: bytes) -> bool:
        """One request, whatever the size; False where there is an object already."""
        try:
            # The client has no public call that sends this header.
            self.client._put_object(self.bucket, name, data, {"If-None-Match": "*"})
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise
            return False
        return True

    def _make_bucket(self) -> None:
        try:
            with self.asking("making the bucket"):
                self.client.make_bucket(self.bucket)
        except StoreError:
            # Somebody else may have been quicker. If it is ours to use, it is there now.
            with self.asking("looking for the bucket"):
                if self.client.bucket_exists(self.bucket):
                    return
            raise

    def _delete_error(self, failed: Sequence[DeleteError]) -> StoreError:
        first = failed[0]
        name = (first.name or "").removeprefix(self.root)
        doing = f"removing {len(failed)} objects, {name!r} first,"
        return self.errors.of_code(first.code, first.message or "", 0, doing)

"""What only a store in a bucket has to prove: servers that die, refuse, hang or break off."""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import pytest

from cluster.errors import ObjectMissing, StoreError, StoreRefused, StoreUnreachable
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError
from jobs.s3_server import S3Server
from tests.unit.cluster.storage.wire import Answer, Request, Wire

_PART = 5 * 2**20
_DONE = Answer(headers={"ETag": '"e"'})


class _Interrupted(PosixPath):
    """A file in whose middle something happens: `event` is called before its third part is read."""

    event: Callable[[], None]

    @classmethod
    def of(cls, path: Path, data: bytes, event: Callable[[], None]) -> _Interrupted:
        path.write_bytes(data)
        made = cls(path)
        made.event = event
        return made

    def open(self, *arguments: Any, **named: Any) -> Any:
        reader = _InterruptedReader(super().open("rb").read())
        reader.event = self.event
        return reader


class _InterruptedReader(io.BytesIO):
    event: Callable[[], None]

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == 2 * _PART:
            self.event()
        return super().read(size)


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A server of one's own, to be killed."""
    with S3Server(tmp_path / "s3") as made:
        yield made


def _prepared(spec: StoreSpec) -> ObjectStore:
    store = open_store(spec)
    store.prepare()
    return store


def _keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list()]


def test_a_bucket_that_is_not_there_is_made(server: S3Server) -> None:
    store = open_store(server.spec("desk"))
    with pytest.raises(StoreRefused, match=r"NoSuchBucket.*prepare\(\) makes it"):
        store.put("a/b", b"1")
    with pytest.raises(StoreRefused, match="NoSuchBucket"):
        list(store.list())
    store.prepare()
    assert (server.folder / server.bucket).is_dir()
    assert _keys(store) == []
    store.put("a/b", b"1")
    assert (server.folder / server.bucket / "desk" / "a" / "b").read_bytes() == b"1"


def test_a_server_killed_in_mid_write_shows_nothing_half(server: S3Server, tmp_path: Path) -> None:
    store = _prepared(server.spec(part_bytes=_PART))
    data = os.urandom(17 * 2**20)
    path = _Interrupted.of(tmp_path / "large", data, server.kill)
    with pytest.raises(StoreUnreachable, match="Connection refused"):
        store.put_file("trades/1.parquet", path)
    server.start()
    assert _keys(store) == []
    with pytest.raises(ObjectMissing):
        store.get("trades/1.parquet")
    store.put_file("trades/1.parquet", tmp_path / "large")
    assert store.get("trades/1.parquet") == data
    assert _keys(store) == ["trades/1.parquet"]


def test_a_server_killed_in_mid_write_keeps_the_object_before(server: S3Server, tmp_path: Path) -> None:
    store = _prepared(server.spec(part_bytes=_PART))
    store.put("trades/1.parquet", b"before")
    path = _Interrupted.of(tmp_path / "large", bytes(17 * 2**20), server.kill)
    with pytest.raises(StoreUnreachable):
        store.put_file("trades/1.parquet", path)
    server.start()
    assert store.get("trades/1.parquet") == b"before"


def test_an_upload_that_fails_on_our_side_is_aborted(server: S3Server, tmp_path: Path) -> None:
    store = _prepared(server.spec(part_bytes=_PART))

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = _Interrupted.of(tmp_path / "large", bytes(17 * 2**20), fail)
    with pytest.raises(DataError, match="large: can't be read: Input/output error"):
        store.put_file("a/b", path)
    assert _keys(store) == []
    assert [left for left in server.folder.rglob("*") if left.is_file()] == []


def test_every_call_says_that_the_server_is_away_and_works_when_it_is_back(server: S3Server) -> None:
    store = _prepared(server.spec(retries=0))
    store.put("a/b", b"1")
    server.stop()
    for call in (
        store.prepare,
        lambda: store.put("a/c", b"1"),
        lambda: store.get("a/b"),
        lambda: list(store.list()),
        lambda: store.delete(["a/b"]),
        lambda: store.move("a/b", "a/c"),
    ):
        with pytest.raises(StoreUnreachable, match="Connection refused") as caught:
            call()
        assert caught.value.where == f"s3://lake at {server.endpoint}"
    began = time.monotonic()
    with pytest.raises(StoreUnreachable):
        open_store(server.spec()).prepare()
    assert time.monotonic() - began < 3
    server.start()
    assert store.get("a/b") == b"1"
    assert _keys(store) == ["a/b"]


@pytest.mark.parametrize("kind", ["application/xml", "text/xml"])
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", StoreUnreachable),
        (429, "TooManyRequests", StoreUnreachable),
        (500, "InternalError", StoreUnreachable),
        (400, "RequestTimeout", StoreUnreachable),
        (409, "OperationAborted", StoreUnreachable),
        (507, "XMinioStorageFull", StoreUnreachable),
        (403, "AccessDenied", StoreRefused),
        (403, "RequestTimeTooSkewed", StoreRefused),
        (400, "ExpiredToken", StoreRefused),
        (400, "AuthorizationHeaderMalformed", StoreRefused),
        (404, "NoSuchBucket", StoreRefused),
        (501, "NotImplemented", StoreRefused),
        (404, "NoSuchKey", ObjectMissing),
    ],
)
def test_an_answer_says_whether_waiting_helps(
    status: int, code: str, expected: type[StoreError], kind: str
) -> None:
    with Wire(lambda _: Answer.error(status, code, "SECRET/+ of AKEY", kind)) as wire:
        with pytest.raises(expected) as caught:
            open_store(wire.spec(retries=0)).get("a/b")
        text = str(caught.value)
        assert (code in text and "failed" in text and caught.value.fix) or expected is ObjectMissing
        assert "SECRET/+" not in text and "AKEY" not in text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(502, "<html>bad gateway</html>", {"Content-Type": "text/html"}), StoreUnreachable),
        (Answer(503), StoreUnreachable),
        (Answer(400, "Client sent an HTTP request to an HTTPS server."), StoreRefused),
        (Answer(404, "<html>not here</html>", {"Content-Type": "text/html"}), StoreRefused),
        (Answer(200, b"x" * 1000, cut_after=10), StoreUnreachable),
    ],
    ids=["proxy", "empty", "no TLS", "web server", "cut"],
)
def test_what_is_no_answer_of_s3_is_no_object(answer: Answer, expected: type[StoreError]) -> None:
    with Wire(lambda _: answer) as wire, pytest.raises(expected, match="reading 'a/b' failed"):
        open_store(wire.spec(retries=0)).get("a/b")


@pytest.mark.parametrize(
    "answer", [Answer(200, "<html>welcome</html>"), Answer(200, "no XML at all"), Answer(200)]
)
def test_a_server_that_is_no_s3_server_is_found_out(answer: Answer) -> None:
    with Wire(lambda _: answer) as wire:
        store = open_store(wire.spec())
        for call in (store.prepare, lambda: list(store.list()), lambda: store.move("a", "b")):
            with pytest.raises(StoreError):
                call()


def test_a_busy_server_is_asked_again_a_few_times_and_not_when_it_says() -> None:
    busy = [Answer.error(503, "SlowDown", "", "application/xml")] * 2

    def answer(request: Request) -> Answer:
        return busy.pop() if busy else _DONE

    with Wire(answer) as wire:
        open_store(wire.spec()).put("a/b", b"1")
        assert wire.asked == ["PUT"] * 3
    slow = Answer(503, headers={"Retry-After": "3600"})
    with Wire(lambda _: slow) as wire:
        began = time.monotonic()
        with pytest.raises(StoreUnreachable, match="503"):
            open_store(wire.spec()).put("a/b", b"1")
        assert wire.asked == ["PUT"] * 3
        assert time.monotonic() - began < 3


def test_a_server_that_hangs_is_given_up() -> None:
    over = threading.Event()

    def hang(request: Request) -> Answer:
        over.wait(30)
        return _DONE

    with Wire(hang) as wire:
        began = time.monotonic()
        with pytest.raises(StoreUnreachable, match="timed out"):
            open_store(wire.spec(read_timeout_s=0.2)).put("a/b", b"1")
        assert time.monotonic() - began < 3
        assert len(wire.requests) <= 2
        over.set()


def test_a_slow_upload_is_not_cut_by_the_connect_timeout() -> None:
    never = threading.Event()
    with Wire(lambda _: _DONE, before_body=lambda: never.wait(0.5)) as wire:
        store = open_store(wire.spec(connect_timeout_s=0.1, read_timeout_s=5, retries=0))
        store.put("a/b", bytes(12 * 2**20))
        assert len(wire.requests) == 1
        assert len(wire.requests[0].body) == 12 * 2**20


def _multipart(request: Request) -> Answer:
    """A server that takes uploads in parts."""
    if "uploads" in request.query:
        body = "<InitiateMultipartUploadResult><UploadId>U1</UploadId></InitiateMultipartUploadResult>"
        return Answer(200, body, {"Content-Type": "application/xml"})
    if request.method == "POST":
        return Answer(200, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
    return _DONE if request.method == "PUT" else Answer(204)


def test_a_large_object_goes_in_parts() -> None:
    with Wire(_multipart) as wire:
        open_store(wire.spec(part_bytes=_PART)).put("a/b", bytes(12 * 2**20))
        assert wire.asked == ["POST uploads", *["PUT partNumber uploadId"] * 3, "POST uploadId"]
        assert [len(request.body) for request in wire.requests[1:4]] == [_PART, _PART, 2 * 2**20]
        assert {request.path for request in wire.requests} == {"/lake/desk/a/b"}


@pytest.mark.parametrize("fails", ["PUT partNumber uploadId", "POST uploadId"])
def test_an_upload_in_parts_that_fails_is_aborted(fails: str) -> None:
    def answer(request: Request) -> Answer:
        return Answer.error(403, "AccessDenied") if request.what == fails else _multipart(request)

    with Wire(answer) as wire:
        with pytest.raises(StoreRefused, match="AccessDenied"):
            open_store(wire.spec(part_bytes=_PART)).put("a/b", bytes(12 * 2**20))
        assert wire.asked[-1] == "DELETE uploadId"


def test_an_error_inside_a_good_answer_is_an_error() -> None:
    """S3 answers "200 OK" before it knows whether it can complete an upload or a copy."""

    def answer(request: Request) -> Answer:
        if request.what == "POST uploadId" or "x-amz-copy-source" in request.headers:
            return Answer(200, "<Error><Code>InternalError</Code></Error>")
        if request.method == "HEAD":
            return Answer(headers={"ETag": '"e"', "Last-Modified": "Wed, 01 May 2024 10:00:00 GMT"})
        return _multipart(request)

    with Wire(answer) as wire:
        store = open_store(wire.spec(part_bytes=_PART))
        with pytest.raises(StoreUnreachable):
            store.put("a/b", bytes(12 * 2**20))
        with pytest.raises(StoreUnreachable):
            store.move("a/b", "a/c")
        assert "DELETE" not in wire.asked


def test_objects_that_cannot_be_removed_are_counted_and_named() -> None:
    wrong = "".join(
        f"<Error><Key>desk/{key}</Key><Code>AccessDenied</Code></Error>" for key in ("a/b", "a/c")
    )
    gone = "<Error><Key>desk/a/d</Key><Code>NoSuchKey</Code></Error>"
    words = "removing 2 objects, 'a/b' first, failed: AccessDenied"
    both = f"<DeleteResult>{wrong}{gone}</DeleteResult>"
    with Wire(lambda _: Answer(200, both)) as wire, pytest.raises(StoreRefused, match=words):
        open_store(wire.spec()).delete(["a/b", "a/c", "a/d"])
    with Wire(lambda _: Answer(200, f"<DeleteResult>{gone}</DeleteResult>")) as wire:
        open_store(wire.spec()).delete(["a/d"])


def _listing(*keys: str) -> Answer:
    found = "".join(
        f"<Contents><Key>desk/{key}</Key><Size>1</Size><LastModified>2024-05-01T10:00:00.123Z</LastModified></Contents>"
        for key in keys
    )
    body = f"<ListBucketResult><Name>lake</Name>{found}<IsTruncated>false</IsTruncated></ListBucketResult>"
    return Answer(200, body, {"Content-Type": "application/xml"})


def test_marks_of_folders_and_hidden_objects_are_not_listed() -> None:
    with Wire(lambda _: _listing("", "a/", "a/.x", "a/b", "a/b", ".tickcast-probe")) as wire:
        assert _keys(open_store(wire.spec())) == ["a/b"]
        assert [info.modified_ns for info in open_store(wire.spec()).list()] == [1714557600123000000]


def test_a_listing_without_order_is_not_taken_for_one() -> None:
    with Wire(lambda _: _listing("a/c", "a/b")) as wire, pytest.raises(StoreRefused, match="in no order"):
        list(open_store(wire.spec()).list())


def test_a_bucket_that_somebody_else_made_just_now_is_taken(tmp_path: Path) -> None:
    heads = [Answer(404), Answer(200)]

    def answer(request: Request) -> Answer:
        if request.path == "/lake":
            return heads.pop(0) if request.method == "HEAD" else Answer.error(409, "BucketAlreadyOwnedByYou")
        return _DONE if request.method == "PUT" else Answer(204)

    with Wire(answer) as wire:
        open_store(wire.spec()).prepare()
        assert wire.asked == ["HEAD", "PUT", "HEAD", "PUT", "DELETE"]


def test_a_bucket_name_that_is_taken_is_refused() -> None:
    def answer(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else Answer.error(409, "BucketAlreadyExists")

    with Wire(answer) as wire, pytest.raises(StoreRefused, match="choose another bucket name"):
        open_store(wire.spec()).prepare()


class _Conditional:
    """Objects of a server that honours `If-None-Match: *`, or refuses it; the first answers are lost."""

    def __init__(self, refuses: bool = False, lost: int = 0) -> None:
        self.objects: dict[str, bytes] = {}
        self._refuses, self._lost = refuses, lost

    def __call__(self, request: Request) -> Answer:
        path = request.path
        if request.method == "GET" and "list-type" in request.query:
            prefix = request.query.get("prefix", "")
            keys = (path.removeprefix("/lake/") for path in sorted(self.objects))
            return _listing(*(key.removeprefix("desk/") for key in keys if key.startswith(prefix)))
        if request.method == "GET":
            found = self.objects.get(path)
            return Answer(200, found, dict(_DONE.headers)) if found is not None else _MISSING
        if request.method == "POST":
            self.objects = {
                k: v for k, v in self.objects.items() if f"<Key>{k[6:]}<" not in str(request.body)
            }
            return Answer(200, "<DeleteResult></DeleteResult>", {"Content-Type": "application/xml"})
        if request.method == "DELETE":
            self.objects.pop(path, None)
            return Answer(204)
        if "if-none-match" in request.headers:
            if self._refuses:
                return Answer.error(501, "NotImplemented", "A header you provided implies functionality")
            if path in self.objects:
                return Answer.error(412, "PreconditionFailed")
        self.objects[path] = request.body
        if path.endswith("/a/b") and self._lost:
            self._lost -= 1
            return Answer(503)
        return _DONE


_MISSING = Answer.error(404, "NoSuchKey")


def test_a_server_with_conditional_writes_is_asked_for_one() -> None:
    with Wire(_Conditional()) as wire:
        store = open_store(wire.spec())
        assert store.put_new("a/b", b"1")
        assert not store.put_new("a/b", b"2")
        assert store.get("a/b") == b"1"
        # Twice to find out, once for each object; and what was put to find out is gone.
        assert [r.headers.get("if-none-match") for r in wire.requests if r.method == "PUT"] == ["*"] * 4
        assert len(wire._answer.objects) == 1  # type: ignore[attr-defined]


def test_a_conditional_write_that_was_stored_and_not_confirmed_is_ours() -> None:
    with Wire(_Conditional(lost=1)) as wire:
        store = open_store(wire.spec())
        assert store.put_new("a/b", b"1")
        assert not store.put_new("a/b", b"2")


def test_without_conditional_writes_claims_decide() -> None:
    with Wire(_Conditional(refuses=True)) as wire:
        store = open_store(wire.spec())
        assert store.put_new("a/b", b"1")
        assert not store.put_new("a/b", b"2")
        assert list(wire._answer.objects.values()) == [b"1"]  # type: ignore[attr-defined]

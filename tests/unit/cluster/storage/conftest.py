"""Fixtures of the storage tests: a real S3 server, and a store of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from jobs.s3_server import S3Server

_NUMBERS = count()


@pytest.fixture(scope="session")
def shared_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server for tests that leave it running and keep to a prefix of their own."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_spec(shared_s3: S3Server) -> StoreSpec:
    """A place of its own in the shared server, under a prefix that needs quoting."""
    return shared_s3.spec(f"test {next(_NUMBERS)}/a+b%20", part_bytes=5 * 2**20)


@pytest.fixture(params=["folder", "s3"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSpec:
    """Settings of a store: every test with it runs on a folder and on a real S3 server."""
    if request.param == "folder":
        return StoreSpec(uri=str(tmp_path / "lake"))
    return request.getfixturevalue("s3_spec")


@pytest.fixture
def store(spec: StoreSpec) -> ObjectStore:
    """An empty store, prepared."""
    made = open_store(spec)
    made.prepare()
    return made

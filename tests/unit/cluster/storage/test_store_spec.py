"""A store's settings say what is wrong with them, and never say what is secret."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from cluster import config
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError

_KEYS = {"access_key": "AKEY-9713", "secret_key": "SKEY-9713", "session_token": "TOKEN-9713"}


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("lake", Path("lake")),
        ("./a/b c", Path("a/b c")),
        ("/data/lake", Path("/data/lake")),
        ("file:///data/my%20lake", Path("/data/my lake")),
        ("s3://desk", None),
    ],
)
def test_a_uri_names_a_folder_or_a_bucket(uri: str, folder: Path | None) -> None:
    assert StoreSpec(uri=uri).folder == folder


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://desk", ("desk", "")),
        ("s3://desk/", ("desk", "")),
        ("s3://desk/lake", ("desk", "lake")),
        ("s3://de.sk-1/my lake/a+b%20/", ("de.sk-1", "my lake/a+b%20")),
    ],
)
def test_a_bucket_may_be_shared_by_prefix(uri: str, expected: tuple[str, str]) -> None:
    assert StoreSpec(uri=uri).bucket_and_prefix == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"uri": ""}, "uri: is empty"),
        ({"uri": "gs://desk"}, "uri: no store is known for gs://"),
        ({"uri": "file://host/lake"}, "uri: names a host"),
        ({"uri": "s3://"}, "uri: is no bucket name"),
        ({"uri": "s3://Desk"}, "uri: is no bucket name: 'Desk'"),
        ({"uri": "s3://de..sk"}, "uri: is no bucket name"),
        ({"uri": "s3://desk//lake"}, "uri: the prefix '/lake' has an empty segment"),
        (
            {"uri": "s3://desk/../lake"},
            "uri: the prefix '../lake' has an empty segment or one that begins with",
        ),
        (
            {"uri": "s3://desk", "endpoint": "minio:9000"},
            "endpoint: is no http or https address: 'minio:9000'",
        ),
        ({"uri": "s3://desk", "endpoint": "http://minio:port"}, "endpoint: is no address"),
        ({"uri": "s3://desk", "endpoint": "http://minio/path"}, "endpoint: has more than a host and a port"),
        ({"uri": "s3://desk", "region": "eu west"}, "region: is no region"),
        ({"uri": "s3://desk", "access_key": "a"}, "one is given without the other; give both"),
        ({"uri": "s3://desk", "session_token": "a"}, "session_token: is given without keys"),
        ({"uri": "s3://desk", "secret_key": ""}, "secret_key: is empty"),
        ({"uri": "lake", "endpoint": "http://minio:9000"}, "endpoint: a folder has none"),
        ({"uri": "lake", "access_key": "a", "secret_key": "b"}, "access_key: a folder has none"),
        ({"uri": "s3://desk", "part_bytes": 1000}, "part_bytes"),
        ({"uri": "s3://desk", "endpont": "http://minio:9000"}, "did you mean 'endpoint'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(StoreSpec, values, "tickcast.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("tickcast.yaml")


@pytest.mark.parametrize(
    "values",
    [
        {"uri": "s3://AKEY-9713:SKEY-9713@desk/lake"},
        {"uri": "s3://desk", "endpoint": "http://AKEY-9713:SKEY-9713@minio:9000"},
        {"uri": "s3://desk", "secret_key": ["SKEY-9713"]},
        {"uri": "s3://desk", "access_key": {"AKEY-9713": 1}},
        {"uri": "s3://desk", "access_key": "AKEY-9713"},
        {"uri": "gs://desk", **_KEYS},
        {"uri": "s3://desk", "region": "eu west", **_KEYS},
        {"uri": "s3://desk", "retries": "many", **_KEYS},
    ],
)
def test_no_error_repeats_a_credential(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(StoreSpec, values, "tickcast.yaml")
    assert "9713" not in str(caught.value) + repr(caught.value)


def test_credentials_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    spec = StoreSpec(uri="s3://desk", **_KEYS)
    logging.getLogger("test").warning("%s %r", spec, spec)
    shown = f"{spec} {spec!r} {spec.model_dump()} {spec.model_dump_json()} {caplog.text}"
    assert "9713" not in shown
    assert spec.secret_key is not None and spec.secret_key.get_secret_value() == "SKEY-9713"


def test_a_spec_crosses_a_process_border_with_its_credentials() -> None:
    spec = StoreSpec(uri="s3://desk", **_KEYS)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_relative_folder_can_be_tied_to_one_place(tmp_path: Path) -> None:
    assert StoreSpec(uri="data/lake").anchored(tmp_path).folder == tmp_path / "data/lake"
    for uri in ("/data/lake", "file:///data/lake", "s3://desk/lake"):
        assert StoreSpec(uri=uri).anchored(tmp_path).uri == uri


def test_the_endpoint_of_the_spec_goes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    spec = StoreSpec(uri="s3://desk")
    assert spec.endpoint_or_environment() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:9000")
    assert spec.endpoint_or_environment() == "http://all:9000"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:9000")
    assert spec.endpoint_or_environment() == "http://s3:9000"
    assert StoreSpec(uri="s3://desk", endpoint="http://own").endpoint_or_environment() == "http://own"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "s3:9000")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_S3: is no http or https address"):
        spec.endpoint_or_environment()

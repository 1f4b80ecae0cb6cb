"""How a store in a bucket is let in: credentials from wherever they are, certificates that are verified."""

from __future__ import annotations

import json
import os
import pickle
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from cluster.errors import StoreRefused
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError
from jobs.s3_server import S3Server
from tests.unit.cluster.storage.wire import Answer, Wire


def _prepared(spec: StoreSpec) -> ObjectStore:
    store = open_store(spec)
    store.prepare()
    return store


@pytest.mark.parametrize("wrong", [{"access_key": "nobody-9713"}, {"secret_key": "wrong-9713"}])
def test_wrong_credentials_are_refused_with_what_to_check_and_without_the_keys(
    shared_s3: S3Server, wrong: dict[str, str]
) -> None:
    store = open_store(shared_s3.spec("desk", **wrong))
    for call in (
        store.prepare,
        lambda: store.put("a", b"1"),
        lambda: store.get("a"),
        lambda: list(store.list()),
    ):
        with pytest.raises(
            StoreRefused, match="check access_key and secret_key, or AWS_ACCESS_KEY_ID"
        ) as caught:
            call()
        for secret in (S3Server.access_key, S3Server.secret_key, *wrong.values()):
            assert secret not in str(caught.value) + repr(caught.value)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def _clear_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "MINIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Not the address of a cloud's own service, which may answer on a machine that runs the tests.
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")


def _use_variables(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)


def _use_profile_file(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = f"aws_access_key_id = {server.access_key}\naws_secret_access_key = {server.secret_key}\n"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[desk]\n{keys}")
    monkeypatch.setenv("AWS_PROFILE", "desk")


@pytest.mark.parametrize("use", [_use_variables, _use_profile_file])
def test_credentials_and_address_may_come_from_the_environment(
    shared_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, use: Callable[..., None]
) -> None:
    _clear_environment(monkeypatch, tmp_path)
    use(shared_s3, monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", shared_s3.endpoint)
    store = _prepared(StoreSpec(uri=f"s3://{shared_s3.bucket}/{use.__name__}"))
    store.put("a/b", b"1")
    filesystem, root = store.filesystem()
    assert filesystem.open_input_file(f"{root}/a/b").read() == b"1"


def test_credentials_may_come_from_the_role_of_the_machine(
    shared_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    role = {"AccessKeyId": "ROLE-KEY", "SecretAccessKey": "ROLE-SECRET", "Token": "ROLE-TOKEN"}
    role |= {"Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
    _clear_environment(monkeypatch, tmp_path)
    with (
        Wire(lambda _: Answer(body=json.dumps(role))) as service,
        Wire(lambda _: Answer(headers={"ETag": '"e"'})) as s3,
    ):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.endpoint}/role")
        open_store(StoreSpec(uri="s3://lake", endpoint=s3.endpoint)).put("a", b"1")
        assert s3.requests[0].headers["x-amz-security-token"] == "ROLE-TOKEN"
        assert "ROLE-KEY" in s3.requests[0].headers["authorization"]


def test_without_credentials_the_message_says_where_they_may_be(
    shared_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _clear_environment(monkeypatch, tmp_path)
    store = open_store(StoreSpec(uri="s3://lake", endpoint=shared_s3.endpoint))
    for call in (store.prepare, store.filesystem):
        with pytest.raises(
            StoreRefused, match="no credentials were found; set access_key and secret_key, or AWS_"
        ):
            call()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else has signed, and its private key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tickcast test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate, private_key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    private_key.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return certificate, private_key


def test_certificates_are_verified_and_ones_own_can_be_trusted(tmp_path: Path) -> None:
    certificate, private_key = _certificate(tmp_path)
    with S3Server(tmp_path / "s3", certificate, private_key) as server:
        with pytest.raises(StoreRefused, match=r"certificate verify failed.*set ca_file"):
            open_store(server.spec()).prepare()
        store = _prepared(server.spec(ca_file=certificate))
        pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
        store.put_file("a.parquet", tmp_path / "a.parquet")
        filesystem, root = store.filesystem()
        read = pa.parquet.read_table(f"{root}/a.parquet", filesystem=filesystem)
        assert read.to_pydict() == {"a": [1]}
        plain = server.endpoint.replace("https", "http")
        with pytest.raises(StoreRefused, match="check the endpoint"):
            open_store(server.spec(endpoint=plain)).put("a", b"1")
    with pytest.raises(ConfigError, match=r"nowhere.pem can't be used: No such file"):
        open_store(server.spec(ca_file=tmp_path / "nowhere.pem"))


def test_https_to_a_server_without_it_is_refused(shared_s3: S3Server) -> None:
    spec = shared_s3.spec(endpoint=shared_s3.endpoint.replace("http", "https"))
    with pytest.raises(StoreRefused, match="use http:// in the endpoint"):
        open_store(spec).prepare()


def test_tls_is_verified_without_a_certificate_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **named: made.append(real(**named)) or made[-1])
    open_store(StoreSpec(uri="s3://lake", endpoint="https://s3.example", access_key="a", secret_key="b"))
    assert [(context.verify_mode, context.check_hostname) for context in made] == [(ssl.CERT_REQUIRED, True)]

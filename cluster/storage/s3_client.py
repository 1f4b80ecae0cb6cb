"""Connections to an S3 server: the client for everything, and the file system that pyarrow reads through.

Both are made from a StoreSpec and use the same address and credentials. Imported only by a process that
opens a bucket: the client and its HTTP library cost time and memory that others save.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote_plus

import certifi
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    EnvMinioProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from cluster.errors import StoreRefused, StoreUnreachable
from cluster.storage.store_spec import StoreSpec, split_endpoint
from features.errors import ConfigError

_AWS = "https://s3.amazonaws.com"
_SEND_BYTES = 256 * 1024
_CONNECTIONS = 16
_BUSY = (429, 500, 502, 503, 504)


class StoreCredentials(Provider):
    """The credentials of a spec, or those that AWS's tools would find.

    Without keys in the spec, in this order: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, MINIO_ACCESS_KEY
    and MINIO_SECRET_KEY, the profile file (AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE), the role of the
    machine, container or Kubernetes service account. A role's credentials are renewed as they end.
    """

    def __init__(self, spec: StoreSpec) -> None:
        self._where = spec.uri
        self._last: Credentials | None = None
        if spec.access_key is not None and spec.secret_key is not None:
            token = spec.session_token.get_secret_value() if spec.session_token else None
            access, secret = spec.access_key.get_secret_value(), spec.secret_key.get_secret_value()
            self._source: Provider = StaticProvider(access, secret, token)
        else:
            # Off AWS nobody answers at the role's address: don't wait for it as long as for the store.
            asking = urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=1.0, read=5.0),
                retries=urllib3.Retry(total=1),
                ssl_context=_trust(spec),
            )
            role = IamAwsProvider(http_client=asking)
            self._source = ChainedProvider([EnvAWSProvider(), EnvMinioProvider(), AWSConfigProvider(), role])

    def retrieve(self) -> Credentials:
        """Called by the client before each request. StoreRefused when there are none at all."""
        try:
            self._last = self._source.retrieve()
        except Exception as error:  # every source fails in its own way
            if self._last is not None:
                raise StoreUnreachable(f"the credentials can't be renewed: {error}", self._where) from None
            raise StoreRefused(
                "no credentials were found",
                self._where,
                "set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ) from None
        return self._last

    def redacted(self, text: str) -> str:
        """The text without the credentials, should a server have repeated them."""
        last = self._last
        for secret in (last.secret_key, last.session_token, last.access_key) if last else ():
            for form in (secret, quote_plus(secret)) if secret else ():
                text = text.replace(form, "***")
        return text


def address(spec: StoreSpec) -> str:
    """The address of the server, for messages."""
    return spec.endpoint_or_environment() or _AWS


def connect(spec: StoreSpec, credentials: Provider) -> Minio:
    """A client for the server. Nothing is sent yet; threads may share it, processes may not."""
    https, host = split_endpoint(address(spec), "endpoint")
    return Minio(
        host,
        secure=https,
        region=spec.region,
        credentials=credentials,
        http_client=_pool_manager(spec, https),
    )


def arrow_filesystem(spec: StoreSpec, credentials: Provider) -> Any:
    """The same server for pyarrow. It addresses buckets as the client does: by host name on AWS only."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    https, host = split_endpoint(address(spec), "endpoint")
    keys = credentials.retrieve()
    return S3FileSystem(
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        region=spec.region,
        scheme="https" if https else "http",
        endpoint_override=None if spec.endpoint_or_environment() is None else host,
        connect_timeout=spec.connect_timeout_s,
        request_timeout=spec.read_timeout_s,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1 + spec.retries),
        tls_ca_file_path=None if spec.ca_file is None else str(spec.ca_file),
    )


def _pool_manager(spec: StoreSpec, https: bool) -> urllib3.PoolManager:
    tls: dict[str, Any] = {"ssl_context": _trust(spec)} if https else {}
    manager = urllib3.PoolManager(
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(connect=spec.connect_timeout_s, read=spec.read_timeout_s),
        retries=urllib3.Retry(
            total=spec.retries,
            # A second try for a kept connection that the server has closed; not many for one that hangs.
            read=min(1, spec.retries),
            status_forcelist=_BUSY,
            backoff_factor=0.2,
            backoff_max=2.0,
            # The last answer is handed on, for what it says. How long to wait is up to our callers.
            raise_on_status=False,
            respect_retry_after_header=False,
        ),
        **tls,
    )
    manager.pool_classes_by_scheme = _patient_pools(spec.read_timeout_s)
    return manager


def _trust(spec: StoreSpec) -> ssl.SSLContext:
    """Certificates are always verified: against the spec's own, or the system's and Mozilla's."""
    if spec.ca_file is not None:
        try:
            return ssl.create_default_context(cafile=str(spec.ca_file))
        except OSError as error:  # ssl.SSLError is one
            fix = "name a file of certificates in PEM format"
            raise ConfigError(f"{spec.ca_file} can't be used: {error.strerror}", "ca_file", fix) from None
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _PatientSend:
    """Sends in small pieces, each with the read timeout.

    urllib3 sends a whole body under the connect timeout (urllib3 issue 857): a large part over a slow line
    would never get through. So a connection fails only when nothing moves.
    """

    silence_s: float

    def send(self, data: Any) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            super().send(data)  # type: ignore[misc]
            return
        connection: Any = self
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(self.silence_s)
        view = memoryview(data)
        for at in range(0, len(view), _SEND_BYTES):
            super().send(view[at : at + _SEND_BYTES])  # type: ignore[misc]


def _patient_pools(silence: float) -> dict[str, Any]:
    class PatientConnection(_PatientSend, HTTPConnection):
        silence_s = silence

    class PatientSecureConnection(_PatientSend, HTTPSConnection):
        silence_s = silence

    class PatientPool(HTTPConnectionPool):
        ConnectionCls = PatientConnection

    class PatientSecurePool(HTTPSConnectionPool):
        ConnectionCls = PatientSecureConnection

    return {"http": PatientPool, "https": PatientSecurePool}

"""Which object store the lake stands on, and how to reach it: settings only.

    lake:
      uri: s3://desk/tickcast
      endpoint: http://minio:9000

Credentials are secret values: they show in no repr, message or address. Left out, they come from where
AWS's own tools look: the environment, the profile file, the role of the machine (`StoreCredentials` in
cluster/storage/s3_client.py).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from features.errors import ConfigError

_MIB = 2**20
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_SECRETS = ("access_key", "secret_key", "session_token")


class StoreSpec(BaseModel):
    """A folder or an S3 bucket. Frozen; open it with `objects.open_store`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    uri: str
    """"path/to/folder", "file:///path/to/folder" or "s3://bucket/prefix" (the prefix may be left out)."""
    endpoint: str | None = None
    """Address of an S3 server, like "http://minio:9000". None: the environment's AWS_ENDPOINT_URL_S3 or
    AWS_ENDPOINT_URL, else AWS itself. Buckets of AWS are addressed by host name (bucket.s3.…), those of
    any other endpoint by path (endpoint/bucket/…), which every S3 server understands."""
    region: str = "us-east-1"
    """Where the bucket is; servers other than AWS mostly take the default."""
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    """Only with temporary credentials."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, in PEM format, for an https endpoint of your own."""
    part_bytes: int = Field(16 * _MIB, ge=5 * _MIB, le=1024 * _MIB)
    """Larger objects are uploaded in parts of this size. One part is in memory at a time."""
    connect_timeout_s: float = Field(3.0, gt=0)
    read_timeout_s: float = Field(20.0, gt=0)
    """So long a connection may stand still, while sending or while waiting for an answer."""
    retries: int = Field(2, ge=0, le=10)
    """Further attempts before a call gives up, a few tenths of a second apart. Callers that can wait
    longer call again."""

    @field_validator(*_SECRETS, mode="before")
    @classmethod
    def _check_secret(cls, value: Any, info: Any) -> Any:
        # pydantic's own message would show the value.
        if value is not None and not isinstance(value, (str, SecretStr)):
            raise ConfigError("is not text", info.field_name, "put it in quotes")
        if value is not None and not (value if isinstance(value, str) else value.get_secret_value()):
            raise ConfigError("is empty", info.field_name, "leave it out to use the environment's")
        return value

    @model_validator(mode="after")
    def _check_meaning(self) -> StoreSpec:
        if self.folder is None:
            bucket, prefix = self.bucket_and_prefix
            _check_bucket(bucket)
            _check_prefix(prefix)
            if self.endpoint is not None:
                split_endpoint(self.endpoint, "endpoint")
            if not _REGION.fullmatch(self.region):
                raise ConfigError(f"is no region: {self.region!r}", "region", 'write it like "eu-west-1"')
        else:
            given = [name for name in ("endpoint", *_SECRETS) if getattr(self, name) is not None]
            if given:
                raise ConfigError("a folder has none", given[0], 'use a uri like "s3://bucket/prefix"')
        if (self.access_key is None) != (self.secret_key is None):
            raise ConfigError("one is given without the other", "access_key and secret_key", "give both")
        if self.session_token is not None and self.access_key is None:
            raise ConfigError("is given without keys", "session_token", "give access_key and secret_key too")
        return self

    @property
    def folder(self) -> Path | None:
        """The folder as the uri says it; None for a bucket."""
        scheme, separator, rest = self.uri.partition("://")
        if not separator:
            if not self.uri:
                raise ConfigError("is empty", "uri", 'write a folder, or "s3://bucket/prefix"')
            return Path(self.uri)
        if scheme == "file":
            if not rest.startswith("/"):
                raise ConfigError("names a host", "uri", 'write "file:///path", with three slashes')
            return Path(unquote(rest))
        if scheme != "s3":
            raise ConfigError(f"no store is known for {scheme}://", "uri", "use a folder, file:// or s3://")
        return None

    @property
    def bucket_and_prefix(self) -> tuple[str, str]:
        """The bucket, and the prefix of all keys without a slash at its end; only of an s3:// uri."""
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        return bucket, prefix.rstrip("/")

    def anchored(self, base: Path) -> StoreSpec:
        """The same store with a relative folder made absolute, for processes that run in other folders."""
        folder = self.folder
        if folder is None or folder.is_absolute():
            return self
        return self.model_copy(update={"uri": str(base.resolve() / folder)})

    def endpoint_or_environment(self) -> str | None:
        """The endpoint given, else the environment's; None means AWS.

        The one place where the environment is read for an address. Raises ConfigError."""
        if self.endpoint is not None:
            return self.endpoint
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            endpoint = os.environ.get(name)
            if endpoint:
                split_endpoint(endpoint, name)
                return endpoint
        return None


def split_endpoint(endpoint: str, where: str) -> tuple[bool, str]:
    """Whether it is https, and host:port. Raises ConfigError, which never repeats a password."""
    fix = 'write it like "http://minio:9000"'
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise ConfigError("is no address", where, fix) from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("holds credentials", where, "give them as access_key and secret_key")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"is no http or https address: {endpoint!r}", where, fix)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(f"has more than a host and a port: {endpoint!r}", where, fix)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme == "https", host if port is None else f"{host}:{port}"


def _check_bucket(bucket: str) -> None:
    if "@" in bucket or ":" in bucket:
        raise ConfigError("holds credentials or a port", "uri", "give them as access_key and endpoint")
    if not _BUCKET.fullmatch(bucket) or any(pair in bucket for pair in ("..", ".-", "-.")):
        raise ConfigError(
            f"is no bucket name: {bucket!r}", "uri", "use 3 to 63 of a-z, 0-9, hyphen and single dots"
        )


def _check_prefix(prefix: str) -> None:
    if prefix and any(not part or part.startswith(".") for part in prefix.split("/")):
        raise ConfigError(
            f"the prefix {prefix!r} has an empty segment or one that begins with a dot",
            "uri",
            'write it like "s3://bucket/path/to/lake"',
        )

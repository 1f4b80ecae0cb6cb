"""What an answer of an S3 server means for a store: try again later, change something, or no object.

S3's error codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, SSLError

from cluster.errors import ObjectMissing, StoreError, StoreRefused, StoreUnreachable

_LONGEST_TEXT = 300

_PASSING = frozenset(
    (
        "SlowDown",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "OperationAborted",
        "ConditionalRequestConflict",
        # An upload in parts that the server forgot, or a body that arrived damaged: a new attempt is whole.
        "NoSuchUpload",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        # Full, like a disk: room can be made.
        "QuotaExceeded",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
    )
)
_KEYS = "check access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REGION = "set region to that of the bucket"
_FIXES = {
    "AccessDenied": f"{_KEYS}, and whether they may list, read, write and delete in the bucket",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": "get new temporary credentials: session_token has ended",
    "InvalidToken": "check session_token: it belongs to one pair of keys",
    "RequestTimeTooSkewed": "set the clock of this machine, it differs from the store's",
    "NoSuchBucket": "check the bucket in the uri; prepare() makes it",
    "BucketAlreadyExists": "choose another bucket name, somebody else has this one",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "NotImplemented": "this server does not offer it",
    "MethodNotAllowed": "this server does not offer it",
}
_NOT_S3 = "check the endpoint: no S3 server seems to answer there (MinIO's console has a port of its own)"


class S3Errors:
    """Turns the errors of the client into those of the store, with the place in them and no credentials."""

    def __init__(self, where: str, redacted: Callable[[str], str]) -> None:
        self._where = where
        self._redacted = redacted

    @contextmanager
    def during(self, doing: str, key: str | None = None) -> Iterator[None]:
        """Raise what goes wrong inside as StoreUnreachable, StoreRefused or, with a key, ObjectMissing."""
        try:
            yield
        except (MinioException, HTTPError, ConnectionError, TimeoutError) as error:
            raise self._translate(error, doing, key) from None
        except (ElementTree.ParseError, ValueError) as error:
            # Also S3's "200 OK" with an error inside, which says no more than that it failed.
            text = f"{doing} failed: the answer can't be read ({error})"
            raise self.error(StoreUnreachable, text, _NOT_S3) from None

    def error(self, kind: type[StoreError], problem: str, fix: str = "") -> StoreError:
        """An error of this store."""
        return kind(self._redacted(problem), self._where, fix)

    def of_code(self, code: str, message: str, status: int, doing: str, key: str | None = None) -> StoreError:
        """The error for an answer with one of S3's codes."""
        if code == "NoSuchKey" and key is not None:
            return self.error(ObjectMissing, f"there is no object {key!r}")
        text = f"{doing} failed: {code}{f', {message[:_LONGEST_TEXT]}' if message else ''}"
        busy = code in _PASSING or status == 429 or (status >= 500 and status != 501)
        if busy:
            return self.error(StoreUnreachable, text, "trying again later can help")
        return self.error(StoreRefused, text, _FIXES.get(code, ""))

    def _translate(self, error: Exception, doing: str, key: str | None) -> StoreError:
        if isinstance(error, S3Error):
            return self.of_code(error.code or "", error.message or "", error.response.status, doing, key)
        if isinstance(error, InvalidResponseError):
            return self._of_plain_answer(error, doing, key)
        if isinstance(error, ServerError):
            return self.of_code(f"HTTP status {error.status_code}", "", error.status_code, doing, key)
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        text = f"{doing} failed: {_last_words(reason)}"
        if isinstance(reason, SSLError) and (fix := _tls_fix(reason)):
            return self.error(StoreRefused, text, fix)
        return self.error(StoreUnreachable, text, "trying again later can help")

    def _of_plain_answer(self, error: InvalidResponseError, doing: str, key: str | None) -> StoreError:
        """An error that the server did not call application/xml: S3's all the same, or a proxy's page."""
        status, _, body = error.__reduce__()[1]  # type: ignore[no-untyped-call]
        found = code_and_message(body or "")
        if found:
            return self.of_code(*found, status, doing, key)
        page = " ".join((body or "").split())[:100]
        if status == 429 or status >= 500:
            return self.of_code(f"HTTP status {status}", page, status, doing, key)
        return self.error(StoreRefused, f"{doing} failed: HTTP status {status} {page}".rstrip(), _NOT_S3)


def code_and_message(body: str) -> tuple[str, str] | None:
    """The code and message of S3's error document; None when it is something else."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root}
    code = texts.get("Code")
    return (code, texts.get("Message", "")) if code else None


def _tls_fix(error: SSLError) -> str | None:
    """What to change so that a TLS connection can be had; None when it may come by itself."""
    if isinstance(error.args[0] if error.args else None, ssl.SSLCertVerificationError):
        return "set ca_file to the certificate of the authority that signed the server's"
    return "use http:// in the endpoint" if "WRONG_VERSION_NUMBER" in str(error) else None


def _last_words(error: Exception) -> str:
    """What went wrong, without the objects in which the HTTP library wraps it."""
    if isinstance(error, ProtocolError) and len(error.args) > 1:
        return str(error.args[1])
    return str(error).rpartition("): ")[2][:_LONGEST_TEXT] or type(error).__name__

"""One kept-alive connection on a thread of its own, which ends when it is told to."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import time
from pathlib import Path

import pytest

from cluster import rest_client
from cluster.rest_client import RestClient
from cluster.venues.base import HttpRequest
from tests.unit.cluster.feed_exchange import until
from tests.unit.cluster.rest_venue import CUT, HANGS, RestVenue, Says, rest_threads


def request(venue: RestVenue, first_id: int = 1, url: str = "") -> HttpRequest:
    return HttpRequest(
        "GET",
        f"{url or venue.url}/api/v3/historicalTrades",
        params=(("symbol", "BTCUSDT"), ("fromId", str(first_id)), ("limit", "2")),
        headers=(("X-MBX-TIME-UNIT", "MICROSECOND"),),
    )


async def test_requests_share_one_connection() -> None:
    async with RestVenue(Says(200, "x", {"Retry-After": "3"})) as venue:
        client = RestClient(timeout_s=5.0)
        assert not client.is_open
        answer = await client.get(request(venue))
        assert (answer.status, answer.body, answer.headers.get("retry-after")) == (200, b"x", "3")
        answers = [await client.get(request(venue, n)) for n in (5, 7)]
        assert [answer.status for answer in answers] == [200, 200]
        assert b'"id": 7' in answers[1].body
        assert len(venue.clients) == 1
        client.close()
    assert venue.asked == [(1, 2), (5, 2), (7, 2)]
    await until(lambda: rest_threads() == 0)


async def test_any_status_is_an_answer_and_redirects_are_not_followed() -> None:
    says = [Says(503, "down"), Says(418, "no"), Says(302, "", {"Location": "/elsewhere"})]
    async with RestVenue(*says) as venue:
        client = RestClient(timeout_s=5.0)
        assert [(await client.get(request(venue))).status for _ in says] == [503, 418, 302]
        client.close()


async def test_a_venue_that_cuts_the_connection_or_is_not_there_is_an_os_error() -> None:
    async with RestVenue(CUT) as venue:
        client = RestClient(timeout_s=5.0)
        with pytest.raises(ConnectionError):
            await client.get(request(venue))
        assert not client.is_open
        assert (await client.get(request(venue))).status == 200
        client.close()
    with pytest.raises(ConnectionError):
        await client.get(request(venue))
    await until(lambda: rest_threads() == 0)


async def test_an_answer_that_does_not_come_is_a_timeout_and_its_thread_ends() -> None:
    async with RestVenue(HANGS) as venue:
        client = RestClient(timeout_s=0.1)
        with pytest.raises(TimeoutError, match=r"0\.1 s"):
            await client.get(request(venue))
        await until(lambda: rest_threads() == 0)
        assert (await client.get(request(venue))).status == 200
        client.close()


async def test_a_cancelled_request_ends_at_once_and_its_thread_too() -> None:
    async with RestVenue(HANGS) as venue:
        client = RestClient(timeout_s=60.0)
        asking = asyncio.create_task(client.get(request(venue)))
        await until(lambda: len(venue.asked) == 1)
        asking.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: rest_threads() == 0)
        assert time.monotonic() - began < 5.0
        assert not client.is_open


async def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "_MOST_BYTES", 1000)
    async with RestVenue(Says(200, "x" * 1000), Says(200, "x" * 1001)) as venue:
        client = RestClient(timeout_s=5.0)
        assert len((await client.get(request(venue))).body) == 1000
        with pytest.raises(ConnectionError, match="larger than 1000 bytes"):
            await client.get(request(venue))
        assert not client.is_open


async def test_a_proxy_is_asked_instead_of_the_venue() -> None:
    async with RestVenue() as proxy:
        client = RestClient(timeout_s=5.0, proxy=proxy.url)
        answer = await client.get(request(proxy, 4, url="http://venue.invalid"))
        assert answer.status == 200 and proxy.asked == [(4, 2)]
        client.close()


class TlsVenue(RestVenue):
    """A REST server with a certificate of its own."""

    certificate: Path

    def tls(self) -> ssl.SSLContext | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


def write_certificate(path: Path) -> None:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))


async def test_certificates_are_checked_and_requests_over_tls_can_be_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TlsVenue.certificate = tmp_path / "certificate.pem"
    write_certificate(TlsVenue.certificate)
    async with TlsVenue() as venue:
        with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            await RestClient(timeout_s=5.0).get(request(venue))
        monkeypatch.setenv("SSL_CERT_FILE", str(TlsVenue.certificate))
        client = RestClient(timeout_s=60.0)
        assert (await client.get(request(venue))).status == 200
        venue.answers = [HANGS]
        asking = asyncio.create_task(client.get(request(venue)))
        await until(lambda: len(venue.asked) == 2)
        assert len(venue.clients) == 1
        asking.cancel()
        await asyncio.wait((asking,), timeout=5.0)
        await until(lambda: rest_threads() == 0)

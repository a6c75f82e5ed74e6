"""One request to receivers that behave well and badly."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from payloops.workflows_bridge.deliveries.sender import REPLY_BYTES_MAX, TIMEOUT_S
from tests.deliveries import receiver as r
from tests.deliveries.receiver import Receiver, receiving
from tests.deliveries.sending import BODY, sending

# --------------------------------------------------------------------------------------------------------- good manners


async def test_an_answer(receiver: Receiver) -> None:
    receiver.behave("hook", r.answer(201, b"thanks"))
    async with sending() as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.success, answer.error, answer.body) == (201, True, None, b"thanks")
    [got] = receiver.received
    assert got.body == BODY
    assert got.headers["x-test"] == "1"
    assert got.headers["user-agent"].startswith("PayLoops")
    assert got.headers["accept-encoding"] == "identity"
    assert "cookie" not in got.headers


async def test_a_connection_is_kept_and_no_cookie(receiver: Receiver) -> None:
    receiver.behave("hook", then=r.answer(200, b"", Set_Cookie="a=b"))
    async with sending() as send:
        for _ in range(3):
            assert (await send(receiver.at())).success
    assert len({one.peer for one in receiver.received}) == 1
    assert all("cookie" not in one.headers for one in receiver.received)


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(receiver: Receiver) -> None:
    """The receiver lets a connection go just as it is used again: only a new one tells anything."""
    receiver.behave("hook", r.OK, r.hang_up, r.answer(200, b"again"))
    async with sending() as send:
        assert (await send(receiver.at())).success
        answer = await send(receiver.at())
    assert (answer.status_code, answer.body) == (200, b"again")
    assert len(receiver.received) == 3


async def test_a_new_connection_that_breaks_off_is_a_failure(receiver: Receiver) -> None:
    receiver.behave("hook", then=r.hang_up)
    async with sending() as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.error) == (None, "it closed the connection without an answer")
    assert len(receiver.received) == 1


async def test_the_environments_proxy_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with sending() as send:
        assert (await send(receiver.at())).success


# ---------------------------------------------------------------------------------------------------------- bad manners


@pytest.mark.parametrize("status", (301, 302, 303, 307, 308))
async def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.behave("hook", r.redirect(receiver.at("elsewhere"), status))
    async with sending() as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.success, answer.error) == (status, False, f"the receiver answered {status}")
    assert [one.path for one in receiver.received] == ["hook"]


async def test_a_flood_is_cut(receiver: Receiver) -> None:
    receiver.behave("hook", r.flood())
    async with sending(timeout_s=5) as send:
        answer = await send(receiver.at())
    assert answer.success
    assert len(answer.body) == REPLY_BYTES_MAX
    assert answer.duration_ms < 3000


async def test_a_gzip_bomb_is_not_unpacked(receiver: Receiver) -> None:
    receiver.behave("hook", r.gzip_bomb())
    async with sending(timeout_s=5) as send:
        answer = await send(receiver.at())
    assert answer.success
    assert answer.body[:2] == b"\x1f\x8b"
    assert len(answer.body) == REPLY_BYTES_MAX


@pytest.mark.parametrize("encoding", ("br", "zstd", "deflate", "gzip, br", "nonsense"))
async def test_no_encoding_is_unpacked(receiver: Receiver, encoding: str) -> None:
    receiver.behave("hook", r.answer(200, b"\x8b\x00 as it came", Content_Encoding=encoding))
    async with sending() as send:
        answer = await send(receiver.at())
    assert (answer.success, answer.body) == (True, b"\x8b\x00 as it came")


def test_the_contracts_bounds() -> None:
    assert (TIMEOUT_S, REPLY_BYTES_MAX) == (15.0, 16 * 1024)


@pytest.mark.parametrize("manner", (r.black_hole, r.drip_head(), r.slow(60)), ids=("black hole", "drip", "slow"))
async def test_everything_together_is_bounded(receiver: Receiver, manner: r.Manner) -> None:
    receiver.behave("hook", manner)
    async with asyncio.timeout(30), sending(timeout_s=0.5) as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.error) == (None, "no answer within 0.5 s")


@pytest.mark.parametrize(("status", "success"), ((200, True), (500, False)))
async def test_the_status_counts_even_if_the_body_never_ends(receiver: Receiver, status: int, success: bool) -> None:
    receiver.behave("hook", r.drip(status))
    async with sending(timeout_s=0.5) as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.success) == (status, success)
    assert set(answer.body) == {ord("x")}
    assert 400 < answer.duration_ms < 1500


@pytest.mark.parametrize(
    "manner",
    (
        r.flood_of_headers(),
        r.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
        r.raw(b"nonsense\r\n\r\n", close=True),
        r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
    ),
    ids=("headers", "long header", "nonsense", "length"),
)
async def test_what_is_no_http(receiver: Receiver, manner: r.Manner) -> None:
    receiver.behave("hook", manner)
    async with sending() as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.error) == (None, "its answer is not HTTP")


async def test_interim_answers_without_end(receiver: Receiver) -> None:
    receiver.behave("hook", r.raw(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.01))
    async with sending(timeout_s=0.5) as send:
        answer = await send(receiver.at())
    assert answer.error == "no answer within 0.5 s"


@pytest.mark.parametrize(
    ("header", "expected_s"),
    (("7", 7.0), ("0", 0.0), ("9" * 40, 999999999.0), ("-1", None), ("1.5", None), ("soon", None), ("", None)),
)
async def test_retry_after_in_seconds(receiver: Receiver, header: str, expected_s: float | None) -> None:
    receiver.behave("hook", r.busy(header))
    async with sending() as send:
        assert (await send(receiver.at())).retry_after_s == expected_s


async def test_retry_after_as_a_date(receiver: Receiver) -> None:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    receiver.behave(
        "hook", r.busy(at.strftime("%a, %d %b %Y %H:%M:%S GMT"), 503), r.busy("Wed, 21 Oct 2015 07:28:00 GMT")
    )
    async with sending() as send:
        future, past = (await send(receiver.at())).retry_after_s, (await send(receiver.at())).retry_after_s
    assert future is not None
    assert 85 < future < 91
    assert past == 0.0


# ------------------------------------------------------------------------------------------------------------------ TLS


def certificate(directory: Path, name: str, *, ended: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server called ``name`` uses, and a client that trusts it, unless its time is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=3))
        .not_valid_after(now + dt.timedelta(hours=-1 if ended else 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    client = ssl.create_default_context()
    client.load_verify_locations(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


async def test_tls_names_the_host_and_checks_it(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "shop.example")
    asked_for: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with receiving(tls=server) as receiver, sending(tls=client, lookup=lambda _: ["127.0.0.1"]) as send:
        assert (await send(receiver.at(host="shop.example"))).success
        answer = await send(receiver.at(host="other.example"))
    assert (answer.status_code, answer.error) == (None, "its TLS certificate is not trusted")
    assert asked_for == ["shop.example", "other.example"]
    assert len(receiver.received) == 1


async def test_a_certificate_of_nobody_is_not_trusted(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path, "shop.example")
    async with receiving(tls=server) as receiver, sending(lookup=lambda _: ["127.0.0.1"]) as send:
        answer = await send(receiver.at(host="shop.example"))
        assert (answer.status_code, answer.error) == (None, "its TLS certificate is not trusted")
        assert receiver.received == []


async def test_a_certificate_whose_time_is_over_is_not_trusted(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "shop.example", ended=True)
    async with receiving(tls=server) as receiver, sending(tls=client, lookup=lambda _: ["127.0.0.1"]) as send:
        answer = await send(receiver.at(host="shop.example"))
        assert (answer.status_code, answer.error) == (None, "its TLS certificate is not trusted")
        assert receiver.received == []


async def test_http_where_https_was_meant(receiver: Receiver) -> None:
    async with sending() as send:
        answer = await send(f"https://127.0.0.1:{receiver.port}/hook")
    assert (answer.status_code, answer.error) == (None, "a TLS connection can't be made")

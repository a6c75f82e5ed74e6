"""Certificates for servers and clients of these tests, by an authority of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificates(place: Path) -> None:
    """``ca``, what it signed for a server called ``localhost`` and for a ``client``, and one of a ``stranger``."""
    authority = ec.generate_private_key(ec.SECP256R1())
    write(place / "ca", authority, certificate("test authority", authority, "test authority", authority))
    for name in ("localhost", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        write(place / name, key, certificate(name, key, "test authority", authority))
    stranger = ec.generate_private_key(ec.SECP256R1())
    write(place / "stranger", stranger, certificate("stranger", stranger, "stranger", stranger))


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


def write(path: Path, key: ec.EllipticCurvePrivateKey, signed: x509.Certificate) -> None:
    pem = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.with_suffix(".key").write_bytes(key.private_bytes(pem, form, plain))
    path.with_suffix(".crt").write_bytes(signed.public_bytes(pem))

"""The self-signed certificate that is made at the first start and kept."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_DAYS = 3650
"""Ten years: nobody renews a self-signed certificate, and an expired one only teaches to ignore warnings."""

# It signs itself and serves: strict clients look for both uses.
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def keep_certificate(state: Path, addresses: list[str]) -> tuple[Path, Path]:
    """Return certificate and key (PEM files in the state directory), made at the first call."""
    certificate, key = state / "certificate.pem", state / "key.pem"
    if certificate.exists() and key.exists():
        return certificate, key
    private = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname() or "roombridge"
    names: list[x509.GeneralName] = [x509.DNSName(host), x509.DNSName("localhost")]
    everywhere = dict.fromkeys([*addresses, "127.0.0.1", "::1"])
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in everywhere]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    write_private(
        key,
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def check_certificate(certificate: Path, key: Path) -> None:
    """Look whether two PEM files hold a certificate and its key, the latter not locked by a password.

    Raises OSError where one cannot be read and ValueError where it does not hold what it should.
    """
    try:
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except ValueError:
        raise ValueError(f"{certificate} holds no certificate in PEM form") from None
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except TypeError:
        raise ValueError(f"the key in {key} is locked by a password") from None
    except ValueError:
        raise ValueError(f"{key} holds no key in PEM form") from None
    if private.public_key() != first.public_key():
        raise ValueError(f"the key in {key} is not that of {certificate}")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)

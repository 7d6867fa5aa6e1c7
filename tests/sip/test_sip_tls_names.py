"""Whom a certificate names (RFC 5922), and chains that clients show, over real sockets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.tls import ClientCertificates, names
from sip.events import Target, Transport

DNS, IP, URI = x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier


class Signer:
    """A certificate and its key; it may sign others."""

    def __init__(self, common: str, *others: x509.GeneralName, by: Signer | None = None, ca: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name if by else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        self.made = builder.sign(by.key if by else self.key, hashes.SHA256())

    def write(self, path: Path, *chain: Signer) -> Path:
        """Write the certificate, those that follow it, and its key."""
        octets = b"".join(one.made.public_bytes(serialization.Encoding.PEM) for one in (self, *chain))
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.write_bytes(octets + self.key.private_bytes(serialization.Encoding.PEM, *plain))
        return path


@pytest.mark.parametrize(
    ("named", "host", "right"),
    [
        (DNS("sip.example.com"), "sip.example.com", True),
        (DNS("sip.example.com"), "SIP.Example.COM", True),
        (DNS("sip.example.com"), "example.com", False),
        (URI("sip:example.com"), "example.com", True),
        (URI("sip:example.com"), "Example.com", True),
        (URI("SIP:Example.com"), "example.com", True),
        (URI("sip:ann@example.com"), "example.com", False),
        (URI("https://example.com"), "example.com", False),
        (URI("sip:example.com"), "sub.example.com", False),
        (DNS("*.example.com"), "one.example.com", True),
        (DNS("*.example.com"), "example.com", False),
        (DNS("*.example.com"), "a.one.example.com", False),
        (IP(ip_address("192.0.2.1")), "192.0.2.1", True),
        (IP(ip_address("192.0.2.1")), "192.0.2.2", False),
        (IP(ip_address("2001:db8::1")), "2001:db8::1", True),
        (DNS("192.0.2.1"), "192.0.2.1", False),
        (DNS("xn--bcher-kva.example"), "bücher.example", True),
        (DNS("a.example"), "a" * 70 + ".example", False),
    ],
)
def test_a_certificate_names_hosts_addresses_and_sip_domains(named: x509.GeneralName, host: str, right: bool) -> None:
    assert names(Signer("whoever", named).made, host) is right


def test_a_certificate_without_names_is_nobodys_whatever_its_subject_says() -> None:
    assert not names(Signer("example.com").made, "example.com")


async def test_a_server_that_is_named_as_a_sip_domain_is_spoken_to(networks: Any, tmp_path: Path) -> None:
    house = Signer("carrier", URI("sip:carrier.example"), ca=True).write(tmp_path / "carrier.pem")
    theirs = networks(certificate=house)
    port = theirs.ports[Transport.TLS]
    ours = networks(certificate=house, authorities=house)
    flow = await ours.open(Target(Transport.TLS, "127.0.0.1", port, "carrier.example"))
    assert flow.transport is Transport.TLS
    with pytest.raises(OSError):
        await ours.open(Target(Transport.TLS, "127.0.0.1", port, "other.example"))


async def test_a_client_is_shown_the_certificate_of_the_name_that_it_asks_for(networks: Any, tmp_path: Path) -> None:
    root = Signer("root", ca=True)
    roots = root.write(tmp_path / "root.pem")
    first, second, third = (
        Signer(name, DNS(name), by=root).write(tmp_path / f"{name}.pem")
        for name in ("one.example", "two.example", "three.example")
    )
    theirs = networks(certificate=first, more=((second, None), (third, third)))
    ours = networks(certificate=first, authorities=roots)
    for name in ("one.example", "two.example", "TWO.example", "three.example"):
        flow = await ours.open(Target(Transport.TLS, "127.0.0.1", theirs.ports[Transport.TLS], name))
        assert flow.transport is Transport.TLS
    with pytest.raises(OSError):  # it is shown the first one, which is not this name's
        await ours.open(Target(Transport.TLS, "127.0.0.1", theirs.ports[Transport.TLS], "four.example"))
    assert theirs.counters().get("handshakes_failed", 0) <= 1


async def test_other_names_clients_are_asked_for_a_certificate_too(networks: Any, tmp_path: Path) -> None:
    root = Signer("root", ca=True)
    roots = root.write(tmp_path / "root.pem")
    first, second = (
        Signer(name, DNS(name), by=root).write(tmp_path / f"{name}.pem") for name in ("one.example", "two.example")
    )
    theirs = networks(
        certificate=first, authorities=roots, client_certificates=ClientCertificates.REQUIRE, more=((second, None),)
    )
    ours = networks(certificate=first, authorities=roots)
    opening = asyncio.ensure_future(
        ours.open(Target(Transport.TLS, "127.0.0.1", theirs.ports[Transport.TLS], "two.example"))
    )
    async with asyncio.timeout(30):
        while not theirs.counters().get("handshakes_failed", 0):
            await asyncio.sleep(0.01)
    await ours.stop()
    await asyncio.gather(opening, return_exceptions=True)


async def test_a_client_shows_the_whole_chain_of_its_certificate(networks: Any, tmp_path: Path) -> None:
    root = Signer("root", ca=True)
    between = Signer("between", by=root, ca=True)
    leaf = Signer("leaf", DNS("us.example"), IP(ip_address("127.0.0.1")), by=between)
    roots = root.write(tmp_path / "root.pem")
    server = Signer("server", IP(ip_address("127.0.0.1")), by=root).write(tmp_path / "server.pem")
    theirs = networks(certificate=server, authorities=roots, client_certificates=ClientCertificates.REQUIRE)
    target = Target(Transport.TLS, "127.0.0.1", theirs.ports[Transport.TLS])
    for name, chain, let_in in (("whole", (between,), True), ("cut", (), False)):
        shown = leaf.write(tmp_path / f"{name}.pem", *chain)
        for authorities in (roots, None):
            ours = networks(certificate=shown, authorities=authorities, show_certificate=True)
            before = theirs.counters().get("handshakes_failed", 0)
            opening = asyncio.ensure_future(ours.open(target))
            async with asyncio.timeout(30):
                if let_in:
                    flow = await opening
                    while "us.example" not in {name for one in theirs._connections.values() for name in one.peer_names}:
                        await asyncio.sleep(0.01)
                    assert flow.transport is Transport.TLS
                else:  # in TLS 1.3 the client may think for a moment that it is in
                    while theirs.counters().get("handshakes_failed", 0) == before:
                        await asyncio.sleep(0.01)
            await ours.stop()
            await asyncio.gather(opening, return_exceptions=True)

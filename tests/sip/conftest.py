"""What the tests of SIP's shells share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sip_fake_house import FakeDesk
from sip_phone import Peer
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from sip.adapter import SipAdapter, SipConfig
from sip.events import Flow, Send, Transport
from sip.transport import Network, NetworkConfig

Start = Callable[..., Any]


@pytest.fixture
async def reactor() -> AsyncIterator[Any]:
    """Return a Twisted reactor on the test's own loop; it is not installed, and needs no running."""
    made = AsyncioSelectorReactor(asyncio.get_running_loop())
    yield made
    await asyncio.sleep(0.02)  # connections that were aborted say so in the next turns
    made.removeAll()
    for call in made.getDelayedCalls():
        call.cancel()
    made.waker.connectionLost(None)
    if made._timerHandle is not None:
        made._timerHandle.cancel()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a certificate of 127.0.0.1 and its key."""
    return _make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another one, which has nothing to do with the first."""
    return _make_certificate(tmp_path_factory.mktemp("tls") / "stranger.pem")


def _make_certificate(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


# an adapter of its own for each test, and a phone that speaks to it


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def start(reactor: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    made: list[SipAdapter] = []

    async def build(desk: FakeDesk, **options: Any) -> SipAdapter:
        options = {"address": "127.0.0.1", "udp": 0, "tcp": 0, "tls": 0, "certificate": certificate} | options
        adapter = SipAdapter(SipConfig(**options), desk, reactor)
        await adapter.start()
        made.append(adapter)
        return adapter

    yield build
    for adapter in made:
        await adapter.stop()


@pytest.fixture
async def adapter(start: Start, desk: FakeDesk) -> SipAdapter:
    made: SipAdapter = await start(desk)
    return made


@pytest.fixture
async def peer(adapter: SipAdapter) -> AsyncIterator[Peer]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(
        lambda: Peer(adapter.ports[Transport.UDP]), local_addr=("127.0.0.1", 0)
    )
    yield made
    transport.close()


class User:
    """Who speaks over a network, and does not care."""

    def received(self, data: bytes, flow: Flow) -> None:
        """Hear a message."""

    def closed(self, flow: Flow) -> None:
        """Hear of an end."""

    def unreachable(self, send: Send) -> None:
        """Hear of a failure."""


@pytest.fixture
async def networks(reactor: Any) -> AsyncIterator[Any]:
    made: list[Network] = []

    def build(**options: Any) -> Network:
        network = Network(NetworkConfig("127.0.0.1", {Transport.TLS: 0}, **options), User(), reactor)
        network.start()
        made.append(network)
        return network

    yield build
    for network in made:
        await network.stop()

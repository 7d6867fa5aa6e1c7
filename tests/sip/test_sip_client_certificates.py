"""Certificates of TLS clients, SNI and versions, over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from gateway.tls import ClientCertificates, ServerContext
from sip.events import Target, Transport


async def spoken(port: int, shown: Path | None) -> bool:
    """Tell whether a client that shows a certificate, or none, is let in: it gets an answer to its keep-alive."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown is not None:
        context.load_cert_chain(shown)
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            try:
                writer.write(b"\r\n\r\n")
                return await reader.readexactly(2) == b"\r\n"
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False


@pytest.mark.parametrize(
    ("clients", "verdicts"),
    [
        (ClientCertificates.OFF, (True, True, True)),
        (ClientCertificates.ASK, (True, True, True)),
        (ClientCertificates.REQUIRE, (False, True, False)),
    ],
)
async def test_clients_are_let_in_as_the_listener_says(
    networks: Any, certificate: Path, stranger: Path, clients: ClientCertificates, verdicts: tuple[bool, ...]
) -> None:
    network = networks(certificate=certificate, authorities=certificate, client_certificates=clients)
    port = network.ports[Transport.TLS]
    assert tuple([await spoken(port, shown) for shown in (None, certificate, stranger)]) == verdicts
    refused = verdicts.count(False)
    assert network.counters().get("handshakes_failed", 0) == refused


@pytest.mark.parametrize("verified", [True, False])
async def test_a_server_that_asks_is_shown_our_certificate(networks: Any, certificate: Path, verified: bool) -> None:
    theirs = networks(certificate=certificate, authorities=certificate, client_certificates=ClientCertificates.REQUIRE)
    target = Target(Transport.TLS, "127.0.0.1", theirs.ports[Transport.TLS])
    authorities = certificate if verified else None
    showing = networks(certificate=certificate, authorities=authorities, show_certificate=True)
    flow = await showing.open(target)
    hidden = networks(certificate=certificate, authorities=authorities)
    connection = asyncio.ensure_future(hidden.open(target))
    await asyncio.wait([connection], timeout=5)
    await asyncio.sleep(0.2)
    assert flow.transport is Transport.TLS
    assert theirs.counters()["handshakes_failed"] == 1
    if not connection.cancelled() and connection.done():
        connection.exception()


async def test_the_name_that_is_dialled_is_shown_before_the_handshake(networks: Any, certificate: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ours = networks(certificate=certificate)
    await ours.open(Target(Transport.TLS, "localhost", port))
    server.close()
    assert names == ["localhost"]


async def test_tls_1_1_is_not_spoken(networks: Any, certificate: Path) -> None:
    port = networks(certificate=certificate).ports[Transport.TLS]
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"DEFAULT@SECLEVEL=0")
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)

    def shake() -> None:
        import socket

        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.settimeout(None)
            connection = SSL.Connection(context, plain)
            connection.set_connect_state()
            connection.do_handshake()

    with pytest.raises(SSL.Error):
        await asyncio.wait_for(asyncio.to_thread(shake), 5)


def test_asking_without_authorities_cannot_work(certificate: Path) -> None:
    with pytest.raises(ValueError, match="signs"):
        ServerContext(certificate, None, None, ClientCertificates.ASK)

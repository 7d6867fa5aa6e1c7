"""TLS contexts of SIP and H.323 connections: 1.2 and 1.3 through pyOpenSSL (RFC 3261 §26.2, RFC 8996).

A server that has several names shows each client the certificate of the one that it wants (RFC 6066 §3). Who connects
may be asked for a certificate of its own: one that the authorities did not sign counts as none, and where one is
demanded the handshake fails without. We show ours to servers that ask for it, if the operator gave us one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

_SESSIONS = b"roombridge"
"""Name of our TLS sessions; none is kept, but OpenSSL wants one where certificates are asked for."""


class ClientCertificates(Enum):
    """Whether TLS peers show a certificate: not asked, asked, or not let in without."""

    OFF = "off"
    ASK = "ask"
    REQUIRE = "require"


MAX_CHAIN = 10
"""Certificates in one file; real chains have two to four."""

Own = tuple[Path, Path | None]
"""PEM files: a certificate, with those that lead from it to an authority, and its key; None: in the same file."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """Makes the server's side of connections."""

    def __init__(
        self,
        certificate: Path,
        key: Path | None,
        authorities: Path | None = None,
        clients: ClientCertificates = ClientCertificates.OFF,
        more: Sequence[Own] = (),
    ) -> None:
        """Read PEM files; key None: it stands in the certificate's file.

        authorities: those who sign the certificates that clients are asked for. more: certificates of other names,
        shown to who asks for one of these; all others are shown the first one.

        Raises OSError where a file cannot be read and ValueError where it does not hold what it should.
        """
        self._named = [_make_context(pair, authorities, clients) for pair in ((certificate, key), *more)]
        self._context = self._named[0][1]
        if more:
            self._context.set_tlsext_servername_callback(self._choose)

    def _choose(self, connection: SSL.Connection) -> None:
        """Show the certificate of the name that the client wants to speak to."""
        wanted = (connection.get_servername() or b"").decode("ascii", "replace")
        for shown, context in self._named:
            if wanted and names(shown, wanted):
                connection.set_context(context)
                return

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: N802 (Twisted's name)
        """Return a connection whose handshake protocol carries."""
        return SSL.Connection(self._context, None)


def _make_context(own: Own, authorities: Path | None, clients: ClientCertificates) -> tuple[Certificate, SSL.Context]:
    """Return a certificate and what makes connections that show it. Raises OSError and ValueError."""
    certificate, key = own
    first, *rest = load_pem_x509_certificates(certificate.read_bytes())
    if len(rest) >= MAX_CHAIN:
        raise ValueError(f"{certificate} holds more than {MAX_CHAIN} certificates")
    private: Any = load_pem_private_key((key or certificate).read_bytes(), None)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    try:
        context.use_certificate(first)
        for authority in rest:
            context.add_extra_chain_cert(authority)
        context.use_privatekey(private)
        context.check_privatekey()
    except SSL.Error as error:
        raise ValueError(f"{certificate} and its key do not fit together") from error
    if clients is not ClientCertificates.OFF:
        _ask(context, authorities, clients)
    return first, context


def _ask(context: SSL.Context, authorities: Path | None, clients: ClientCertificates) -> None:
    """Have clients asked for a certificate. Raises ValueError."""
    if authorities is None:
        raise ValueError("client certificates are asked for, but nobody is named who signs them")
    try:
        context.load_verify_locations(str(authorities))
        context.load_client_ca(str(authorities).encode())
    except SSL.Error as error:
        raise ValueError(f"{authorities} holds no certificates") from error
    context.set_session_id(_SESSIONS)
    context.set_options(SSL.OP_NO_TICKET)
    demanded = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if clients is ClientCertificates.REQUIRE else 0
    verdict = _refuse_wrong if clients is ClientCertificates.REQUIRE else _note_verdict
    context.set_verify(SSL.VERIFY_PEER | demanded, verdict)


def _note_verdict(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, right: int) -> bool:
    """Let everybody in, and note on the connection whose certificate proves nothing."""
    if not right:
        connection.set_app_data(_UNPROVED)
    return True


_UNPROVED = object()


def peer_names(connection: SSL.Connection) -> frozenset[str]:
    """Return the names in a client's certificate, in lower case; none where it showed none that an authority signed."""
    shown: Any = connection.get_peer_certificate(as_cryptography=True)
    if shown is None or connection.get_app_data() is _UNPROVED:
        return frozenset()
    found = {str(one.value).lower() for one in shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        names = shown.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return frozenset(found)
    found.update(name.lower() for name in names.get_values_for_type(DNSName))
    found.update(str(address) for address in names.get_values_for_type(IPAddress))
    for uri in names.get_values_for_type(UniformResourceIdentifier):
        found.add(uri.lower().removeprefix("sip:"))
    return frozenset(found)


def _refuse_wrong(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, right: int) -> bool:
    """Let nobody in whose certificate proves nothing."""
    return bool(right)


def client_context(host: str, authorities: Path | None, own: Own | None = None) -> Any:
    """Return what makes our connections to host: its certificate is verified if authorities (a PEM file) is given.

    own is what a server is shown that asks for a certificate.

    Without authorities the connection is encrypted but its other end not proved: room systems sign their certificates
    themselves.
    """
    return _Unverified(host, own) if authorities is None else _Verified(host, authorities, own)


def _options(own: Own | None, **more: Any) -> ssl.CertificateOptions:
    if own is None:
        return ssl.CertificateOptions(**more)
    shown: Any = load_pem_x509_certificates(
        own[0].read_bytes()
    )  # Twisted hands them on to pyOpenSSL, which wants these
    key: Any = load_pem_private_key((own[1] or own[0]).read_bytes(), None)
    return ssl.CertificateOptions(privateKey=key, certificate=shown[0], extraCertChain=shown[1:], **more)


@implementer(IOpenSSLClientConnectionCreator)
class _Verified:
    """Makes client connections to one host alone: its certificate is signed by an authority, and names the host."""

    def __init__(self, host: str, authorities: Path, own: Own | None) -> None:
        self._host = host
        roots = load_pem_x509_certificates(authorities.read_bytes())
        certificates = [ssl.Certificate(crypto.X509.from_cryptography(root)) for root in roots]  # type: ignore[no-untyped-call]
        trusted = ssl.trustRootFromCertificates(certificates)  # type: ignore[no-untyped-call]
        self._options = _options(own, trustRoot=trusted)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: N802 (Twisted's name)
        """Return a connection whose handshake protocol carries."""
        connection = SSL.Connection(self._options.getContext(), None)
        _tell_name(connection, self._host)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge)
        return connection

    def _judge(self, connection: SSL.Connection, shown: crypto.X509, error: int, depth: int, right: int) -> bool:
        try:
            return bool(right) and (depth > 0 or names(shown.to_cryptography(), self._host))
        except ValueError:  # an extension that makes no sense
            return False


def names(certificate: Certificate, host: str) -> bool:
    """Tell whether a certificate is that of a host: by a DNS name or address, or as a SIP domain (RFC 5922 §7.2).

    A wildcard stands for one label, as carriers' certificates hold them, although RFC 5922 would have none.
    """
    try:
        if _is_literal(host):
            verify_certificate_ip_address(certificate, host)
        else:
            verify_certificate_hostname(certificate, host.encode("idna").decode())
        return True
    except (VerificationError, CertificateError, ValueError):
        return host.lower() in _sip_domains(certificate)


def _sip_domains(certificate: Certificate) -> frozenset[str]:
    """Return the domains that a certificate names by SIP URIs without a user, in lower case (RFC 5922 §7.1)."""
    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return frozenset()
    uris = (uri.lower() for uri in found.get_values_for_type(UniformResourceIdentifier))
    return frozenset(uri.removeprefix("sip:") for uri in uris if uri.startswith("sip:") and "@" not in uri)


def _is_literal(host: str) -> bool:
    return bool(isIPAddress(host) or isIPv6Address(host))


def _tell_name(connection: SSL.Connection, host: str) -> None:
    """Say before the handshake whom we want to speak to (RFC 6066 §3); addresses are not said."""
    if not _is_literal(host):
        connection.set_tlsext_host_name(host.encode("idna"))


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Makes client connections that take any certificate, but say whom they want to speak to."""

    def __init__(self, host: str, own: Own | None) -> None:
        self._host = host
        self._options = _options(own, verify=False)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: N802 (Twisted's name)
        """Return a connection whose handshake protocol carries."""
        connection: SSL.Connection = SSL.Connection(self._options.getContext(), None)
        _tell_name(connection, self._host)
        return connection

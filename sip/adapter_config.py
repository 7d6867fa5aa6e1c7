"""What the SIP adapter is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from gateway.store.registrations import RegistrationStore
from gateway.tls import ClientCertificates, Own
from sip.accounts import Account
from sip.adapter_media import MediaPolicy
from sip.digest import Algorithm, Qop
from sip.gate import Policy
from sip.transport_stream import StreamLimits
from sip.trunk import Trunk


class MessagePolicy(Enum):
    """Whose messages a room takes: nobody's, those of its participants, or those of accounts without a call too."""

    OFF = "off"
    PARTICIPANTS = "participants"
    ACCOUNTS = "accounts"


class SendMessages(Enum):
    """Who is sent a room's messages by MESSAGE: nobody, who sent one, or everybody who allows the method.

    Who has real-time text reads them there, whatever this says.
    """

    NEVER = "never"
    ANSWER = "answer"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class SipConfig:
    """What the adapter listens on and what it says of itself.

    address is the IP literal to bind; public_address another one to advertise, or None. Ports: None turns a transport
    off, 0 takes any free one. certificate and key are PEM files for TLS; authorities one of those who sign the
    certificates of servers that we dial, None trusts any. domain goes into From of calls that we place, and is the
    one that accounts belong to; without it every address is taken for ours that leads here. realm is what passwords
    are hashed with; digests are the algorithms that are offered, of which the strongest is named first. Many phones
    give up where they are offered one that they do not know, even beside MD5. qops says what digests are to cover:
    with AUTH_INT the body too. authenticate says which calls must prove
    who sends them. client_certificates says whether TLS peers are asked for one that the authorities signed, or must
    show one; show_certificate whether servers see ours that ask for it.
    more_certificates are those of other names that TLS clients may ask for. media says how media are encrypted and
    offered. messages says whose MESSAGE a room takes, send_messages who is sent some. registrations keeps what is
    registered; None: only as long as the process lives. trunks are the carriers and static peers that calls come from
    and go through.
    """

    address: str = "0.0.0.0"
    public_address: str | None = None
    udp: int | None = 5060
    tcp: int | None = 5060
    tls: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    domain: str | None = None
    realm: str = "roombridge"
    digests: tuple[Algorithm, ...] = (Algorithm.MD5,)
    qops: tuple[Qop, ...] = (Qop.AUTH,)
    accounts: tuple[Account, ...] = ()
    authenticate: Policy = Policy.OFF
    registrations: RegistrationStore | None = None
    user_agent: str = "Roombridge"
    messages: MessagePolicy = MessagePolicy.PARTICIPANTS
    send_messages: SendMessages = SendMessages.ANSWER
    trunks: tuple[Trunk, ...] = ()
    limits: StreamLimits = field(default_factory=StreamLimits)
    media: MediaPolicy = field(default_factory=MediaPolicy)
    client_certificates: ClientCertificates = ClientCertificates.OFF
    show_certificate: bool = False
    more_certificates: tuple[Own, ...] = ()

"""What the SIP adapter is told, out of configuration and database, and what it counts, for metrics."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config import Config
from gateway.store.tables import StoredAccount
from sip.accounts import Account
from sip.adapter_media import MediaPolicy
from sip.digest import Algorithm, Qop
from sip.events import Transport
from sip.trunk import TrunkInfo
from transcode.interface import Sample

QOPS = {"off": (Qop.AUTH,), "offer": (Qop.AUTH, Qop.AUTH_INT), "require": (Qop.AUTH_INT,)}
"""What `sip.auth_int` means for what passwords protect."""
SIP_BAD_INPUT = ("malformed", "refused", "oversized", "garbage", "dropped", "unparsable", "timeout", "overflow")
"""Words in the names of SIP counters that tell of input that was dropped or refused."""


def sip_samples(counters: dict[str, int]) -> list[Sample]:
    """Return the SIP adapter's counts as samples: what was dropped as bad input, the rest as messages and events."""
    found = []
    for name, count in counters.items():
        if any(word in name for word in SIP_BAD_INPUT):
            found.append(Sample("bad_input_total", (("what", name), ("where", "sip")), count))
        elif name == "registrations":
            found.append(Sample("sip_registrations", (), count))
        elif name != "calls":
            found.append(Sample("sip_messages_total", (("kind", name),), count))
    return found


def trunk_samples(trunks: Iterable[TrunkInfo]) -> list[Sample]:
    """Return how trunks are as samples."""
    found = []
    for one in trunks:
        label = (("trunk", one.name),)
        if one.state != "unknown":
            found.append(Sample("trunk_up", label, one.state == "up"))
        if one.registration:
            found.append(Sample("trunk_registered", label, one.registered))
        found.append(Sample("trunk_calls", label, one.calls))
    return found


def sip_accounts(config: Config, stored: Iterable[StoredAccount]) -> tuple[Account, ...]:
    """Return the accounts that may register over SIP; those of the configuration win over those of the database."""
    found = [
        Account(one.user, one.password, {Algorithm(name): key for name, key in one.ha1.items()}, one.display_name)
        for one in config.accounts
        if "sip" in one.protocols
    ]
    configured = {one.user for one in config.accounts}
    for account in stored:
        keys = {
            Algorithm.MD5: account.md5,
            Algorithm.SHA_256: account.sha_256,
            Algorithm.SHA_512_256: account.sha_512_256,
        }
        if account.sip and account.user not in configured:
            known = {name: key for name, key in keys.items() if key}
            found.append(Account(account.user, None, known, account.display_name))
    return tuple(found)


def sip_media(config: Config) -> MediaPolicy:
    """Return what media of SIP calls must be."""
    sip = config.sip
    named = {Transport.UDP: sip.srtp.udp, Transport.TCP: sip.srtp.tcp, Transport.TLS: sip.srtp.tls}
    srtp = {transport: policy for transport, policy in named.items() if policy is not None}
    return MediaPolicy(srtp, sip.offer.dtls, sip.offer.ice)

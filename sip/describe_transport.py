"""How a line's packets travel, read from a session description: address, ICE, keys, and what a bundle shares.

A line of a BUNDLE group (RFC 9143) that says nothing of its own takes what the group's first living line says. Whoever
offers ICE but names a default address that is none of its candidates has had its description changed on the way: it is
answered without ICE, and told so (RFC 8839 §4.2.5).
"""

from __future__ import annotations

from ipaddress import ip_address

from sip.describe_values import Crypto, is_unspecified, read_candidate, read_crypto, read_fingerprint, read_number
from sip.sdp import Media, Session
from transcode.media import Candidate, Dtls, Ice, Setup, Transport

MAX_CANDIDATES = 64
"""ICE candidates of one line that are looked at; a host with five interfaces has about 20."""
MAX_KEYS = 16
"""crypto or fingerprint lines of one m= line that are looked at; devices send up to 8."""
DISCARD = 9
"""The port of a description that leaves all to ICE (RFC 8840 §4.1.1)."""
_SETUPS = {setup.value: setup for setup in Setup}
_OWN = ("ice-ufrag", "fingerprint", "crypto")
"""Attributes of a line that goes its own way."""


def read_transport(session: Session, media: Media) -> Transport:
    """Return how a line's packets travel."""
    tagged = leading(session, media)
    address = session.address(tagged)
    rtcp_port, rtcp_address = _rtcp(tagged)
    protocol = media.protocol.upper()
    dtls = read_dtls(session, media)
    keys = () if dtls is not None and "SAVP" in protocol else tuple(one.key for one in read_crypto_lines(tagged))
    return Transport(
        None if is_unspecified(address) else address,
        tagged.port,
        rtcp_address,
        rtcp_port,
        tagged.has("rtcp-mux"),
        protocol.endswith("AVPF"),
        keys,
        bool(keys or dtls) and "SAVP" not in protocol,
        dtls,
        _ice(session, tagged),
    )


def leading(session: Session, media: Media) -> Media:
    """Return the line whose transport a line takes: of a bundle the first one that lives, else its own.

    Browsers repeat the bundle's credentials in each line of an answer, on no port and without the fingerprint.
    """
    mid = media.first("mid")
    for value in session.all("group") if mid else ():
        kind, *mids = value.split() or [""]
        if kind.upper() == "BUNDLE" and mid in mids:
            lines = {one.first("mid"): one for one in session.media}
            first = next((lines[one] for one in mids if one in lines and lines[one].port), media)
            repeats = media.port == DISCARD and media.first("ice-ufrag") == first.first("ice-ufrag")
            own = any(media.has(name) for name in _OWN) and not media.has("bundle-only")
            return media if own and not repeats else first
    return media


def alive(session: Session, media: Media) -> bool:
    """Tell whether a line is offered at all: port 0 is none, but for one that may only travel in a bundle."""
    return media.port != 0 or (media.has("bundle-only") and leading(session, media).port != 0)


def read_crypto_lines(media: Media) -> list[Crypto]:
    """Return the crypto lines of a medium that can be used, those whose packets carry no MKI first."""
    found = [crypto for crypto in map(read_crypto, media.all("crypto")[:MAX_KEYS]) if crypto]
    return sorted(found, key=lambda crypto: crypto.mki)


def read_dtls(session: Session, media: Media) -> Dtls | None:
    """Return how a line does DTLS-SRTP; None where it does not, or offers key lines in a profile that wants those.

    RTP/AVP with a fingerprint offers it without demanding it (RFC 8643 §3).
    """
    tagged, protocol = leading(session, media), media.protocol.upper()
    if "TLS" not in protocol and "SAVP" in protocol and read_crypto_lines(tagged):
        return None
    values = tagged.all("fingerprint") or session.all("fingerprint")
    prints = tuple(found for found in map(read_fingerprint, values[:MAX_KEYS]) if found)
    if not prints:
        return None
    return Dtls(_SETUPS.get(tagged.first("setup") or session.first("setup") or "", Setup.ACTPASS), prints)


def is_mismatch(session: Session, media: Media) -> bool:
    """Tell whether a line offers ICE but for another address than its default one (RFC 8839 §4.2.5)."""
    tagged = leading(session, media)
    address = session.address(tagged)
    if _credentials(session, tagged) is None or is_unspecified(address) or tagged.port in (0, DISCARD):
        return False
    listed = [one for one in _candidates(tagged) if one.component == 1]
    if not listed or tagged.first("remote-candidates") is not None:
        return False  # trickled later; or checked already, and what was found need not be listed (§4.4.1.2)
    return not any(one.port == tagged.port and _same(one.address, address or "") for one in listed)


def _same(candidate: str, address: str) -> bool:
    """Tell whether a candidate is an address; a hidden one (a name of multicast DNS) may be any."""
    if candidate.endswith(".local"):
        return True
    try:
        return ip_address(candidate) == ip_address(address)
    except ValueError:
        return candidate == address


def _rtcp(media: Media) -> tuple[int | None, str | None]:
    """Read a=rtcp: "53020 IN IP4 192.0.2.1" (RFC 3605)."""
    words = (media.first("rtcp") or "").split()
    port = read_number(words[0], 65_535) if words else None
    return port or None, words[3] if port and len(words) >= 4 else None


def _credentials(session: Session, media: Media) -> tuple[str, str] | None:
    if media.has("ice-mismatch"):
        return None
    user = media.first("ice-ufrag") or session.first("ice-ufrag")
    password = media.first("ice-pwd") or session.first("ice-pwd")
    return (user, password) if user and password else None


def _candidates(media: Media) -> list[Candidate]:
    return [found for found in map(read_candidate, media.all("candidate")[:MAX_CANDIDATES]) if found]


def _ice(session: Session, media: Media) -> Ice | None:
    credentials = _credentials(session, media)
    if credentials is None or is_mismatch(session, media):
        return None
    complete = media.has("end-of-candidates") or not trickles(session, media)
    return Ice(*credentials, tuple(_candidates(media)), session.has("ice-lite"), complete)


def trickles(session: Session, media: Media) -> bool:
    """Tell whether a line's candidates may come one by one (RFC 8840)."""
    return "trickle" in f"{session.first('ice-options') or ''} {media.first('ice-options') or ''}".split()

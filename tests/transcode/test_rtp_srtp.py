"""SRTP: every suite against an independent derivation, replay, foreign keys, clear RTCP."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.reasons import Reason, Refused
from transcode.media import SrtpKey, Suite
from transcode.rtp import rtcp
from transcode.rtp.packet import pack
from transcode.rtp.srtp import MAX_SOURCES, SUPPORTED, SrtpSession, make_key

RR = rtcp.pack([rtcp.ReceiverReport(9), rtcp.SourceDescription(((9, "name"),))])


def counter_mode(key: bytes, block: int, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(block.to_bytes(16, "big"))).encryptor()
    return encryptor.update(data)


def derive(key: SrtpKey, label: int, length: int) -> bytes:
    """Derive a session key (RFC 3711 §4.3.3; RFC 7714 §11 for the 96-bit salt)."""
    salt = int.from_bytes(key.salt.ljust(14, b"\0"), "big")
    return counter_mode(key.key, (salt ^ label << 48) << 16, bytes(length))


def independent(key: SrtpKey, packet: bytes) -> bytes:
    """Encrypt an RTP packet with rollover counter 0 by the RFCs' words and another library."""
    header, payload = packet[:12], packet[12:]
    ssrc, index = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
    secret = derive(key, 0, key.suite.key_length)
    salt = int.from_bytes(derive(key, 2, key.suite.salt_length), "big")
    if key.suite.value.startswith("AEAD"):
        nonce = (salt ^ (ssrc << 48 | index)).to_bytes(12, "big")
        return header + AESGCM(secret).encrypt(nonce, payload, header)
    sealed = header + counter_mode(secret, (salt ^ ssrc << 48 ^ index) << 16, payload)
    tag = hmac.new(derive(key, 1, 20), sealed + bytes(4), hashlib.sha1).digest()
    return sealed + tag[: 4 if key.suite.value.endswith("32") else 10]


def pair(suite: Suite = Suite.AES_CM_128_HMAC_SHA1_80, clear_rtcp: bool = False) -> tuple[SrtpSession, SrtpSession]:
    one, other = make_key(suite), make_key(suite, 2)
    return SrtpSession(one, other), SrtpSession(other, one, clear_rtcp)


def test_all_six_suites_are_there() -> None:
    assert set(SUPPORTED) == set(Suite)


@pytest.mark.parametrize("suite", list(Suite))
def test_each_suite_is_what_its_rfc_says(suite: Suite) -> None:
    key = make_key(suite)
    packet = pack(8, 300, 160, 0xCAFEBABE, b"sound of a voice" * 10)
    sealed = SrtpSession(key, None).protect_rtp(packet)
    assert sealed == independent(key, packet)
    assert SrtpSession(None, key).unprotect_rtp(sealed) == packet


@pytest.mark.parametrize("suite", list(Suite))
def test_rtcp_passes_both_ways_with_the_long_tag(suite: Suite) -> None:
    here, there = pair(suite)
    sealed = here.protect_rtcp(RR)
    assert sealed is not None
    assert len(sealed) - len(RR) == 4 + (16 if suite.value.startswith("AEAD") else 10)
    assert there.unprotect_rtcp(sealed) == RR
    back = there.protect_rtcp(RR)
    assert back is not None
    assert here.unprotect_rtcp(back) == RR


def test_a_replayed_packet_is_dropped_and_counted() -> None:
    here, there = pair()
    sealed = here.protect_rtp(pack(0, 1, 0, 9, b"x"))
    assert sealed is not None
    assert there.unprotect_rtp(sealed) is not None
    assert there.unprotect_rtp(sealed) is None
    assert (there.replayed, there.failed) == (1, 0)


def test_a_late_packet_within_the_window_is_taken() -> None:
    here, there = pair()
    sealed = [here.protect_rtp(pack(0, n, 0, 9, b"x")) for n in range(1500)]
    assert all(packet is not None for packet in sealed)
    late, ancient = sealed[600], sealed[10]
    for n in (0, *range(1000, 1500)):
        there.unprotect_rtp(sealed[n] or b"")
    assert there.unprotect_rtp(late or b"") is not None
    assert there.unprotect_rtp(ancient or b"") is None
    assert there.replayed == 1


def test_the_sequence_wraps_in_both_directions() -> None:
    here, there = pair()
    for n in range(65_500, 65_600):
        packet = pack(0, n & 0xFFFF, n, 9, b"x")
        assert there.unprotect_rtp(here.protect_rtp(packet) or b"") == packet


def test_a_packet_may_be_sent_again_as_it_was() -> None:
    here, _ = pair()
    packets = [pack(0, n, 0, 9, b"x") for n in range(500)]
    first = [here.protect_rtp(packet) for packet in packets]
    assert here.protect_rtp(packets[10]) == first[10]


def test_a_foreign_key_a_flipped_bit_and_a_cut_are_counted() -> None:
    here, there = pair()
    stranger, _ = pair()
    sealed = here.protect_rtp(pack(0, 1, 0, 9, b"x" * 20)) or b""
    assert there.unprotect_rtp(stranger.protect_rtp(pack(0, 1, 0, 9, b"x")) or b"") is None
    assert there.unprotect_rtp(sealed[:14] + bytes([sealed[14] ^ 1]) + sealed[15:]) is None
    assert there.unprotect_rtp(sealed[:-1]) is None
    assert there.unprotect_rtp(bytes(1501)) is None
    assert there.unprotect_rtcp(RR) is None
    assert there.failed == 5


def test_a_direction_without_key_lets_nothing_through() -> None:
    session = SrtpSession(None, None)
    assert session.protect_rtp(pack(0, 1, 0, 9, b"x")) is None
    assert session.protect_rtcp(RR) is None
    assert session.unprotect_rtp(pack(0, 1, 0, 9, b"x")) is None
    assert session.unprotect_rtcp(RR) is None
    assert session.keyless == 4
    assert session.suite is None


def test_clear_rtcp_is_taken_only_where_allowed_and_not_after_encrypted_rtcp() -> None:
    here, there = pair(clear_rtcp=True)
    assert there.unprotect_rtcp(RR) == RR
    assert there.unprotect_rtcp(RR[:-2]) is None
    assert there.unprotect_rtcp(here.protect_rtcp(RR) or b"") == RR
    assert there.unprotect_rtcp(RR) is None
    assert (there.unprotected_rtcp, there.failed) == (1, 2)
    assert here.unprotect_rtcp(RR) is None


def test_the_same_key_again_does_not_start_the_counters_anew() -> None:
    one, other, third = make_key(SUPPORTED[0]), make_key(SUPPORTED[0]), make_key(SUPPORTED[1])
    here, there = SrtpSession(one, other), SrtpSession(other, one)
    sealed = here.protect_rtp(pack(0, 1, 0, 9, b"x")) or b""
    there.unprotect_rtp(sealed)
    there.rekey(other, SrtpKey(7, one.suite, one.key, one.salt))
    assert there.unprotect_rtp(sealed) is None
    assert there.replayed == 1
    here.rekey(third, other)
    there.rekey(other, third)
    assert there.unprotect_rtp(here.protect_rtp(pack(0, 2, 0, 9, b"x")) or b"") is not None
    assert here.suite is SUPPORTED[1]


def test_a_key_of_the_wrong_length_is_refused_and_changes_nothing() -> None:
    here, there = pair()
    with pytest.raises(Refused) as refusal:
        here.rekey(SrtpKey(1, Suite.AEAD_AES_256_GCM, bytes(16), bytes(12)), None)
    assert refusal.value.reason is Reason.BAD_DESCRIPTION
    with pytest.raises(Refused):
        here.rekey(SrtpKey(1_000_000_000, Suite.AEAD_AES_256_GCM, bytes(32), bytes(12)), None)
    assert there.unprotect_rtp(here.protect_rtp(pack(0, 2, 0, 9, b"x")) or b"") is not None


def test_keys_are_random_and_their_tags_bounded() -> None:
    keys = {make_key(Suite.AES_CM_128_HMAC_SHA1_80).key for _ in range(10)}
    assert len(keys) == 10
    assert make_key(Suite.AES_CM_128_HMAC_SHA1_80, 0).tag == 0, "Cisco counts from 0"
    for tag in (-1, 1_000_000_000):
        with pytest.raises(ValueError, match="tag"):
            make_key(Suite.AES_CM_128_HMAC_SHA1_80, tag)


def test_sources_are_bounded_and_the_last_ones_keep_working() -> None:
    here, there = pair()
    for ssrc in range(1, 4 * MAX_SOURCES):
        assert there.unprotect_rtp(here.protect_rtp(pack(0, 1, 0, ssrc, b"x")) or b"") is not None
    assert len(there._sources) == MAX_SOURCES
    sealed = here.protect_rtp(pack(0, 2, 0, ssrc, b"x")) or b""
    assert there.unprotect_rtp(sealed) is not None
    assert there.unprotect_rtp(sealed) is None
    assert (there.failed, there.replayed) == (0, 1)


def test_random_datagrams_are_counted() -> None:
    chance = random.Random(seed := 4)
    _, there = pair()
    for _ in range(5000):
        data = chance.randbytes(chance.randint(0, 100))
        assert there.unprotect_rtp(data) is None, f"seed {seed}"
        assert there.unprotect_rtcp(data) is None, f"seed {seed}"
    assert there.failed + there.replayed == 10_000

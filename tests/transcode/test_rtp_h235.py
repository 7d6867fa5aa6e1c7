"""Payload encryption of H.323: blocks, padding, stolen ciphertext, keys that change, and what makes no sense."""

from __future__ import annotations

import random
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.reasons import Refused
from transcode.media import H235Cipher, H235Key, H235Keys
from transcode.rtp.h235 import H235Session
from transcode.rtp.packet import RtpPacket, pack

KEY = H235Key(H235Cipher.AES_128_CBC, bytes(range(16)), 96)
LONG = H235Key(H235Cipher.AES_256_CBC, bytes(range(32)), 96)
LATER = H235Key(H235Cipher.AES_128_CBC, bytes(range(1, 17)), 97)


def cbc(key: bytes, packet: bytes, clear: bytes) -> bytes:
    """Encrypt whole blocks under the vector of a packet: sequence number and timestamp, repeated."""
    vector = (packet[2:8] * 3)[:16]
    worker = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return worker.update(clear) + worker.finalize()


def pair(key: H235Key = KEY) -> tuple[H235Session, H235Session]:
    return H235Session(H235Keys(send=key, receive=key)), H235Session(H235Keys(send=key, receive=key))


@pytest.mark.parametrize("key", [KEY, LONG], ids=["128", "256"])
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32, 33, 160, 1199])
def test_each_length_comes_back_as_it_was(key: H235Key, length: int) -> None:
    one, other = pair(key)
    clear = pack(96, 65535, 0xFFFFFF00, 0xCAFE, bytes(range(256)) * 5)[: 12 + length]
    sealed = one.protect_rtp(clear)
    assert sealed is not None
    assert (len(sealed) - 12) % 16 == 0
    assert sealed[12:] != clear[12:]
    assert other.unprotect_rtp(sealed) == clear


def test_whole_blocks_are_encrypted_without_padding() -> None:
    one, _ = pair()
    clear = pack(96, 7, 160, 1, b"a block of sound" * 10)
    sealed = one.protect_rtp(clear)
    assert sealed == clear[:12] + cbc(KEY.key, clear, clear[12:])


def test_a_broken_block_is_padded_and_the_header_says_so() -> None:
    one, _ = pair()
    clear = pack(96, 7, 160, 1, b"sound", marker=True)
    sealed = one.protect_rtp(clear)
    assert sealed is not None
    assert sealed[0] == clear[0] | 0x20
    assert sealed[1:12] == clear[1:12]
    assert sealed[12:] == cbc(KEY.key, clear, b"sound" + bytes((11,)) * 11)


@pytest.mark.parametrize("length", [17, 30, 33, 47, 161])
def test_stolen_ciphertext_is_read(length: int) -> None:
    _, other = pair()
    clear = pack(96, 9, 320, 1, random.Random(length).randbytes(length))
    rest = length % 16
    whole = cbc(KEY.key, clear, clear[12:] + bytes(16 - rest))
    # The last two blocks change places, and the one that is now last is cut to what is needed of it.
    stolen = whole[:-32] + whole[-16:] + whole[-32 : -32 + rest]
    assert other.unprotect_rtp(clear[:12] + stolen) == clear


def test_padding_of_zeros_or_noise_is_taken_off_by_its_last_octet() -> None:
    _, other = pair()
    clear = pack(96, 9, 320, 1, b"sound")
    sealed = cbc(KEY.key, clear, b"sound" + bytes(10) + b"\x0b")
    assert other.unprotect_rtp(bytes((clear[0] | 0x20,)) + clear[1:12] + sealed) == clear


def test_sources_and_extension_of_the_header_stay_clear() -> None:
    one, other = pair()
    clear = RtpPacket(96, 1, 2, 3, b"payload", csrc=(7, 8), extension=(0xBEDE, b"\x10\x01\0\0")).pack()
    sealed = one.protect_rtp(clear)
    assert sealed is not None
    assert sealed[1:28] == clear[1:28]
    assert other.unprotect_rtp(sealed) == clear


def test_a_new_key_holds_from_its_payload_type_on_and_the_old_one_for_what_is_late() -> None:
    one, other = pair()
    late = one.protect_rtp(pack(96, 1, 1, 1, b"the last of the old"))
    for each in (one, other):
        each.rekey(H235Keys(send=LATER, receive=LATER))
    early = one.protect_rtp(pack(97, 2, 2, 1, b"the first of the new"))
    pressed = one.protect_rtp(pack(101, 3, 2, 1, b"\x01\x0a\0\xa0"))
    assert late is not None
    assert early is not None
    assert pressed is not None
    assert [other.unprotect_rtp(each) for each in (early, late, pressed)] == [
        pack(97, 2, 2, 1, b"the first of the new"),
        pack(96, 1, 1, 1, b"the last of the old"),
        pack(101, 3, 2, 1, b"\x01\x0a\0\xa0"),
    ]
    assert pressed[12:] == cbc(LATER.key, pressed, b"\x01\x0a\0\xa0" + bytes((12,)) * 12)


def test_a_direction_without_a_key_is_shut() -> None:
    session = H235Session(H235Keys())
    packet = pack(96, 1, 1, 1, b"clear")
    assert session.protect_rtp(packet) is None
    assert session.unprotect_rtp(packet) is None
    assert session.counters()["h235_keyless"] == 2
    session.rekey(H235Keys(send=KEY, receive=KEY))
    assert session.protect_rtp(packet) is not None
    session.rekey(H235Keys())
    assert session.protect_rtp(packet) is None


def test_a_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(Refused):
        H235Session(H235Keys(send=H235Key(H235Cipher.AES_256_CBC, bytes(16), 96)))


def test_nothing_that_arrives_raises() -> None:
    _, other = pair()
    rng = random.Random(4)
    for _ in range(5000):
        packet = bytearray(rng.randbytes(rng.randrange(0, 80)))
        if packet and rng.random() < 0.9:
            packet[0] = 0x80 | packet[0] & 0x3F
        clear = other.unprotect_rtp(bytes(packet))
        assert clear is None or len(clear) <= len(packet)
    counts = other.counters()
    assert counts["h235_failed"] > 100
    assert counts["h235_malformed"] > 100


def test_a_packet_of_a_stranger_with_bad_padding_is_dropped() -> None:
    _, other = pair()
    clear = struct.pack("!BBHII", 0xA0, 96, 1, 1, 1)
    assert other.unprotect_rtp(clear + cbc(KEY.key, clear, bytes(16))) is None
    assert other.unprotect_rtp(clear + bytes(15)) is None
    assert other.counters()["h235_failed"] == 2

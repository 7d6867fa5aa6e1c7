"""Far-end camera control: frames of HDLC, H.224 and H.281 octet by octet, moves that are kept alive, and nonsense."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.camera import KEEP_ALIVE, LONGEST, MAX_WAITING, CameraControl
from transcode.media import CameraAct, CameraAction
from transcode.payload import h224, h281, q922

LEFT = CameraAction(CameraAct.START, pan=-1)
STOPPED = CameraAction(CameraAct.STOP, pan=-1)
FRAME = bytes.fromhex("00 71 03  00 00 00 00  01 c0  01 80 00")
"""Address and control; to everybody, from everybody; the camera's client, one segment; start, pan left, usual time."""


def test_a_start_is_written_as_annotated() -> None:
    assert h224.write(h224.Message(h224.CAMERA, h281.write(LEFT))) == FRAME
    assert h224.read(FRAME) == h224.Message(h224.CAMERA, bytes.fromhex("018000"))


def test_the_check_sequence_is_that_of_the_standard() -> None:
    # ISO/IEC 13239's own check value (CRC-16/X-25) of "123456789".
    assert q922._check(b"123456789") ^ 0xFFFF == 0x906E


def test_a_bit_stream_begins_with_flags_and_hides_five_ones() -> None:
    stream = q922.write_hdlc(b"\x00\x71\x03\xff\xff\xff\xff\xff")
    assert stream[:3] == b"\x7e\x7e\x7e"
    assert stream[3:5] == b"\x00\x8e"  # 00 and 71, the least significant bit first
    body = "".join(f"{octet:08b}" for octet in stream[3:]).split("01111110")[0]
    assert "111111" not in body


@given(st.binary(min_size=4, max_size=q922.MAX_FRAME))
def test_each_frame_comes_back_out_of_its_bits(frame: bytes) -> None:
    assert q922.read_hdlc(q922.write_hdlc(frame)) == [frame]


@given(st.binary(min_size=4, max_size=40), st.integers(1, 7))
def test_frames_are_found_wherever_they_begin(frame: bytes, shift: int) -> None:
    stream = q922.write_hdlc(frame)
    bits = "1" * shift + "".join(f"{octet:08b}" for octet in stream)
    bits += "1" * (-len(bits) % 8)
    moved = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    assert q922.read_hdlc(moved) == [frame]


def test_a_frame_with_a_wrong_bit_is_dropped() -> None:
    stream = bytearray(q922.write_hdlc(FRAME))
    for place in range(30, 8 * len(stream) - 40):
        broken = bytearray(stream)
        broken[place // 8] ^= 0x80 >> place % 8
        assert FRAME not in q922.read_hdlc(bytes(broken))


@pytest.mark.parametrize(
    ("octets", "action", "hold"),
    [
        ("01 b0 00", CameraAction(CameraAct.START, pan=-1, tilt=1), 0.8),
        ("01 0e 05", CameraAction(CameraAct.START, zoom=1, focus=-1), 0.25),
        ("02 c0", CameraAction(CameraAct.CONTINUE, pan=1), 0.8),
        ("03 20", CameraAction(CameraAct.STOP, tilt=-1), 0.8),
        ("04 10", CameraAction(CameraAct.SOURCE, number=1), 0.0),
        ("05 20", CameraAction(CameraAct.SWITCHED, number=2), 0.0),
        ("07 f0", CameraAction(CameraAct.STORE, number=15), 0.0),
        ("08 30", CameraAction(CameraAct.RECALL, number=3), 0.0),
    ],
)
def test_actions_are_read_as_annotated(octets: str, action: CameraAction, hold: float) -> None:
    assert h281.read(bytes.fromhex(octets)) == (action, pytest.approx(hold))
    assert h281.read(h281.write(action))[0] == action


@pytest.mark.parametrize("octets", ["", "01", "0600", "0140", "0901", "0110"])
def test_what_is_no_action_is_refused(octets: str) -> None:
    with pytest.raises(ValueError, match=r"camera|direction"):
        h281.read(bytes.fromhex(octets))


def test_client_lists_with_extended_and_foreign_clients_are_read() -> None:
    told = bytes.fromhex("01 00 04  81  7e 05  7f b5 00 01 02 03  02")
    assert h224.read_management(told) == h224.ClientList((1, 0x7E, 0x7F, 2))
    assert h224.read_management(bytes.fromhex("01ff")) == h224.Asked(False)
    assert h224.read_management(bytes.fromhex("02ff")) == h224.Asked(True)
    assert h224.read_management(bytes.fromhex("02 00 81 03 14 f0")) == h224.Capabilities(1, bytes.fromhex("0314f0"))
    for broken in ("", "01", "0100", "010002", "0300", "0155"):
        with pytest.raises(ValueError, match=r"management|client list"):
            h224.read_management(bytes.fromhex(broken))


def pair(plain: bool = False) -> tuple[CameraControl, CameraControl]:
    one, other = CameraControl(plain), CameraControl(plain)
    one.start()
    other.start()
    exchange(one, other, 0.0)
    return one, other


def exchange(one: CameraControl, other: CameraControl, now: float) -> list[CameraAction]:
    """Carry what waits from one to the other and back; return what was asked of the other."""
    asked = [action for payload in one.take() for action in other.receive(payload, now)]
    for payload in other.take():
        assert one.receive(payload, now) == []
    return asked


@pytest.mark.parametrize("plain", [False, True], ids=["HDLC", "Annex Q"])
def test_both_sides_tell_what_they_have(plain: bool) -> None:
    one, other = pair(plain)
    assert one.peer_controls
    assert other.peer_controls
    assert (one.malformed, other.malformed) == (0, 0)
    one._send(h224.ask(True))
    one._send(h224.ask(False))
    assert [other.receive(payload, 1.0) for payload in one.take()] == [[], []]
    assert len(other.take()) == 2


@pytest.mark.parametrize("plain", [False, True], ids=["HDLC", "Annex Q"])
def test_a_move_goes_on_until_it_is_stopped(plain: bool) -> None:
    one, other = pair(plain)
    one.command(LEFT, 0.0)
    assert exchange(one, other, 0.0) == [LEFT]
    now = 0.0
    for _ in range(20):
        now += KEEP_ALIVE / 2
        assert one.tick(now) == []
        assert exchange(one, other, now) == []
        assert other.tick(now) == []
    one.command(CameraAction(CameraAct.STOP), now)
    assert exchange(one, other, now) == [STOPPED]
    assert other.tick(now + 10) == []


def test_a_move_whose_sender_falls_silent_is_stopped_in_time() -> None:
    one, other = pair()
    one.command(LEFT, 0.0)
    assert exchange(one, other, 0.0) == [LEFT]
    assert other.tick(0.79) == []
    assert other.tick(0.8) == [STOPPED]
    assert other.tick(9.0) == []


def test_a_move_that_nobody_stops_ends_by_itself() -> None:
    one, other = pair()
    one.command(LEFT, 0.0)
    exchange(one, other, 0.0)
    one.tick(LONGEST)
    assert exchange(one, other, LONGEST) == [STOPPED]
    one.tick(LONGEST + 5)
    assert one.take() == []


def test_another_move_stops_the_one_before() -> None:
    one, other = pair()
    up = CameraAction(CameraAct.START, tilt=1)
    one.command(LEFT, 0.0)
    one.command(up, 0.1)
    assert exchange(one, other, 0.1) == [LEFT, STOPPED, up]


def test_presets_and_sources_are_asked_for_once() -> None:
    one, other = pair()
    for action in (
        CameraAction(CameraAct.STORE, number=4),
        CameraAction(CameraAct.RECALL, number=4),
        CameraAction(CameraAct.SOURCE, number=2),
    ):
        one.command(action, 1.0)
        assert exchange(one, other, 1.0) == [action]
    one.command(CameraAction(CameraAct.START), 1.0)
    assert one.take() == [], "a move that moves nothing is none"


def test_nothing_that_arrives_raises_or_piles_up() -> None:
    control = CameraControl()
    rng = random.Random(7)
    good = [q922.write_hdlc(h224.write(h224.ask(True))), q922.write_hdlc(FRAME), FRAME]
    for number in range(4000):
        payload = bytearray(rng.choice(good))
        for _ in range(rng.randrange(4)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        control.receive(bytes(payload[: rng.randrange(len(payload) + 1)]), number * 0.01)
    assert control.malformed > 1000
    assert len(control.take()) <= MAX_WAITING

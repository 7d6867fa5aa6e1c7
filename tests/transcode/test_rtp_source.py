"""Symmetric RTP on a virtual clock: learning, locking, learning anew."""

from __future__ import annotations

from transcode.rtp.source import MAX_CANDIDATES, NEEDED, SILENCE, SourceLock

SIGNALLED, NAT, STRANGER = ("10.0.0.1", 4000), ("192.0.2.1", 5000), ("198.51.100.1", 6000)
A, B = b"aaaa", b"bbbb"


def feed(lock: SourceLock, source: tuple[str, int], count: int, now: float, ssrc: bytes = A) -> list[list[bytes]]:
    return [lock.offer(source, ssrc, b"%d" % n, now + n * 0.02) for n in range(count)]


def lock_on(signalled: tuple[str, int] | None = SIGNALLED) -> SourceLock:
    lock = SourceLock()
    lock.expect(signalled)
    return lock


def test_the_first_packet_of_the_signalled_address_locks() -> None:
    lock = lock_on()
    assert lock.target == SIGNALLED
    assert feed(lock, SIGNALLED, 1, 0.0) == [[b"0"]]
    assert lock.locked == SIGNALLED
    assert lock.closed(STRANGER, 0.1)


def test_another_address_locks_after_enough_packets_and_none_of_them_is_lost() -> None:
    lock = lock_on()
    assert feed(lock, NAT, NEEDED, 0.0) == [[], [], [b"0", b"1", b"2"]]
    assert (lock.target, lock.moves) == (NAT, 1)


def test_a_candidate_that_changes_its_ssrc_begins_again() -> None:
    lock = lock_on()
    feed(lock, NAT, NEEDED - 1, 0.0, A)
    assert feed(lock, NAT, 1, 0.1, B) == [[]]
    assert lock.target == SIGNALLED


def test_the_signalled_address_wins_over_candidates() -> None:
    lock = lock_on()
    feed(lock, STRANGER, NEEDED - 1, 0.0)
    feed(lock, SIGNALLED, 1, 0.1)
    assert lock.locked == SIGNALLED
    assert lock.closed(STRANGER, 0.2)


def test_the_signalled_address_may_replace_a_learned_one_but_no_other() -> None:
    lock = lock_on()
    feed(lock, NAT, NEEDED, 0.0)
    assert lock.closed(STRANGER, 0.1)
    assert not lock.closed(SIGNALLED, 0.1)
    assert feed(lock, SIGNALLED, NEEDED, 0.1)[-1] != []
    assert lock.locked == SIGNALLED
    assert lock.closed(NAT, 0.2)


def test_a_silent_source_may_be_replaced() -> None:
    lock = lock_on()
    feed(lock, SIGNALLED, 1, 0.0)
    assert lock.closed(NAT, SILENCE - 0.1)
    assert not lock.closed(NAT, SILENCE + 0.1)
    assert feed(lock, NAT, NEEDED, SILENCE + 0.1)[-1] == [b"0", b"1", b"2"]
    assert lock.target == NAT


def test_a_source_that_speaks_again_in_time_keeps_its_lock() -> None:
    lock = lock_on()
    feed(lock, SIGNALLED, 1, 0.0)
    feed(lock, NAT, NEEDED - 1, SILENCE + 0.1)
    feed(lock, SIGNALLED, 1, SILENCE + 0.2)
    assert feed(lock, NAT, 1, 2 * SILENCE + 0.5) == [[]]
    assert lock.locked == SIGNALLED


def test_a_new_signalled_address_begins_anew_and_the_same_one_changes_nothing() -> None:
    lock = lock_on()
    feed(lock, NAT, NEEDED, 0.0)
    lock.expect(SIGNALLED)
    assert lock.target == NAT
    lock.expect(STRANGER)
    assert (lock.locked, lock.target) == (None, STRANGER)


def test_without_a_signalled_address_nothing_is_sent_until_one_is_learned() -> None:
    lock = lock_on(None)
    assert lock.target is None
    feed(lock, NAT, NEEDED, 0.0)
    assert lock.target == NAT


def test_candidates_are_bounded_and_grow_stale() -> None:
    lock = lock_on()
    for port in range(1000):
        lock.offer(("192.0.2.9", port), A, b"x", 0.0)
    assert len(lock._candidates) <= MAX_CANDIDATES
    fresh = lock_on()
    assert [fresh.offer(NAT, A, b"x", 10.0 * n) for n in range(10)] == [[]] * 10


def test_after_a_move_the_old_address_is_let_in_but_not_believed_for_a_while() -> None:
    lock = lock_on()
    feed(lock, NAT, NEEDED, 0.0)
    lock.expect(STRANGER)
    assert feed(lock, NAT, 10, 1.0) == [[b"%d" % n] for n in range(10)]
    assert lock.target == STRANGER
    feed(lock, NAT, NEEDED, 1.0 + SILENCE)
    assert lock.target == NAT

"""States of a call by their Q.931 numbers, and how long each may last."""

from __future__ import annotations

from enum import Enum

from gateway.reasons import Reason

T303 = 15.0
"""Seconds that a callee has to say anything at all; H.225.0 has 4, gateways in front of others need more."""
T304 = 30.0
"""Seconds from the last digit that we sent to an answer (Q.931 §9.5)."""
T310 = 60.0
"""Seconds from CALL PROCEEDING to the next message; H.225.0 has 10, which calls through gateways exceed."""
T302 = 8.0
"""Seconds from one dialled digit to the next, then the number counts as whole; Q.931 has 10 to 15."""
T301 = 180.0
"""Seconds that a call may ring (Q.931 §9.5)."""
LEAVE_TIME = 3.0
"""Seconds from the peer's endSession to its RELEASE COMPLETE (H.323 §8.5); then we send ours."""
ROUND_TRIP_INTERVAL = 60.0
"""Seconds between two round trip requests; real endpoints do the same."""

MAX_UNANSWERED = 3
"""Questions in a row, one each `ROUND_TRIP_INTERVAL`, that a peer may leave unanswered before its call ends."""


class State(Enum):
    """Call states, by their Q.931 numbers (§2.2, Table 4-8)."""

    NULL = 0
    INITIATED = 1
    OVERLAP_SENDING = 2
    PROCEEDING = 3
    DELIVERED = 4
    PRESENT = 6
    RECEIVED = 7
    INCOMING_PROCEEDING = 9
    ACTIVE = 10
    RELEASED = 19
    OVERLAP_RECEIVING = 25


TIMES = {
    State.OVERLAP_RECEIVING: T302,
    State.INITIATED: T303,
    State.OVERLAP_SENDING: T304,
    State.PROCEEDING: T310,
    State.DELIVERED: T301,
}
EXPIRED = {State.DELIVERED: Reason.NO_ANSWER, State.ACTIVE: Reason.NORMAL}
"""Why a call ends whose timer rings; others end by TIMEOUT."""

"""The one vocabulary of outcomes: why a call, a stream or a request ended as it did.

Everything that tells of an outcome is derived from here: log lines, metric labels, call records, API errors, SIP
status and Reason header (RFC 3326), Q.850 cause, H.225 release complete reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Result(Enum):
    """What became of it, in one word."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one reason says in each protocol.

    sip: status code of a refusal; also the one that a received status maps back to. q850: ITU-T Q.850 cause.
    h225: alternative of H.225.0 ReleaseCompleteReason. text: for people, in English.
    """

    result: Result
    sip: int
    q850: int
    h225: str
    text: str


class Reason(Enum):
    """Why something ended; the value is its name in logs, metrics, records and the API."""

    NORMAL = "normal"
    CANCELLED = "cancelled"
    HUNG_UP_BY_HOST = "hung-up-by-host"
    ROOM_CLOSED = "room-closed"
    REPLACED = "replaced"
    MOVED = "moved"
    TRANSFERRED = "transferred"
    TIME_LIMIT = "time-limit"
    HOST_LEFT = "host-left"
    ALONE = "alone"
    IDLE = "idle"
    SHUTDOWN = "shutdown"
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no-answer"
    NO_SUCH_ROOM = "no-such-room"
    NO_SUCH_USER = "no-such-user"
    ROOM_FULL = "room-full"
    ROOM_LOCKED = "room-locked"
    WRONG_PIN = "wrong-pin"
    PIN_NEEDED = "pin-needed"
    TOO_MANY_TRIES = "too-many-tries"
    LOCKED_OUT = "locked-out"
    NO_INPUT = "no-input"
    NO_HOST = "no-host"
    NOT_ADMITTED = "not-admitted"
    NOT_ALLOWED = "not-allowed"
    AUTHENTICATION_NEEDED = "authentication-needed"
    NO_COMMON_FORMAT = "no-common-format"
    ENCRYPTION_NEEDED = "encryption-needed"
    ENCRYPTION_UNSUPPORTED = "encryption-unsupported"
    BAD_DESCRIPTION = "bad-description"
    PICTURE_TOO_LARGE = "picture-too-large"
    BAD_REQUEST = "bad-request"
    MESSAGE_TOO_LARGE = "message-too-large"
    LOOP = "loop"
    UNSUPPORTED = "unsupported"
    NO_MEDIA = "no-media"
    TRANSPORT_FAILED = "transport-failed"
    ICE_FAILED = "ice-failed"
    DTLS_FAILED = "dtls-failed"
    NO_ACK = "no-ack"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OVERLOAD = "overload"
    NO_PORTS = "no-ports"
    GLARE = "glare"
    INTERNAL = "internal"

    @property
    def meaning(self) -> Meaning:
        """What this reason says in each protocol."""
        return _MEANINGS[self]

    @property
    def result(self) -> Result:
        """Whether it counts as a success, a refusal or a failure."""
        return _MEANINGS[self].result

    @property
    def text(self) -> str:
        """The sentence that people read."""
        return _MEANINGS[self].text


_OK, _NO, _BAD = Result.OK, Result.REFUSED, Result.FAILED

_MEANINGS: dict[Reason, Meaning] = {
    Reason.NORMAL: Meaning(_OK, 200, 16, "undefinedReason", "The call ended normally"),
    Reason.CANCELLED: Meaning(_OK, 487, 16, "undefinedReason", "The caller gave up before the call was answered"),
    Reason.HUNG_UP_BY_HOST: Meaning(_OK, 200, 16, "undefinedReason", "A host ended this participant's call"),
    Reason.ROOM_CLOSED: Meaning(_OK, 410, 16, "undefinedReason", "The meeting has ended"),
    Reason.REPLACED: Meaning(_OK, 200, 16, "undefinedReason", "The same participant joined again"),
    Reason.MOVED: Meaning(_OK, 200, 16, "undefinedReason", "The participant was moved to another room"),
    Reason.TRANSFERRED: Meaning(_OK, 200, 16, "undefinedReason", "The participant was transferred elsewhere"),
    Reason.TIME_LIMIT: Meaning(_OK, 200, 16, "undefinedReason", "The call has lasted as long as it may"),
    Reason.HOST_LEFT: Meaning(_OK, 200, 16, "undefinedReason", "The meeting has ended, for the host has left"),
    Reason.ALONE: Meaning(_OK, 200, 16, "undefinedReason", "The participant was alone for too long"),
    Reason.IDLE: Meaning(_OK, 200, 16, "undefinedReason", "Nothing happened in the room for too long"),
    Reason.SHUTDOWN: Meaning(_OK, 503, 41, "undefinedReason", "The service is shutting down"),
    Reason.BUSY: Meaning(_NO, 486, 17, "inConf", "Busy"),
    Reason.DECLINED: Meaning(_NO, 603, 21, "destinationRejection", "The call was declined"),
    Reason.NO_ANSWER: Meaning(_NO, 480, 19, "undefinedReason", "Nobody answered"),
    Reason.NO_SUCH_ROOM: Meaning(_NO, 404, 1, "unreachableDestination", "There is no such room"),
    Reason.NO_SUCH_USER: Meaning(_NO, 404, 1, "unreachableDestination", "There is no such user"),
    Reason.ROOM_FULL: Meaning(_NO, 486, 17, "inConf", "The room is full"),
    Reason.ROOM_LOCKED: Meaning(_NO, 403, 21, "destinationRejection", "The room is locked"),
    Reason.WRONG_PIN: Meaning(_NO, 403, 21, "securityDenied", "The PIN is wrong"),
    Reason.PIN_NEEDED: Meaning(_NO, 403, 21, "securityDenied", "The room asks for a PIN"),
    Reason.TOO_MANY_TRIES: Meaning(_NO, 403, 21, "securityDenied", "No room and PIN were given in three tries"),
    Reason.LOCKED_OUT: Meaning(_NO, 403, 21, "securityDenied", "After many wrong PINs none is taken for a while"),
    Reason.NO_INPUT: Meaning(_NO, 408, 102, "undefinedReason", "Nothing was entered when a room or PIN was asked for"),
    Reason.NO_HOST: Meaning(_NO, 480, 19, "undefinedReason", "No host has come to the room"),
    Reason.NOT_ADMITTED: Meaning(_NO, 403, 21, "destinationRejection", "The participant was not let in"),
    Reason.NOT_ALLOWED: Meaning(_NO, 403, 21, "noPermission", "This is not allowed"),
    Reason.AUTHENTICATION_NEEDED: Meaning(_NO, 401, 21, "securityDenied", "Credentials are needed"),
    Reason.NO_COMMON_FORMAT: Meaning(_NO, 488, 88, "undefinedReason", "No codec that both sides know"),
    Reason.ENCRYPTION_NEEDED: Meaning(_NO, 488, 88, "securityDenied", "Media must be encrypted here"),
    Reason.ENCRYPTION_UNSUPPORTED: Meaning(_NO, 488, 88, "securityDenied", "No encryption that both sides know"),
    Reason.BAD_DESCRIPTION: Meaning(_NO, 488, 100, "undefinedReason", "The media description makes no sense"),
    Reason.PICTURE_TOO_LARGE: Meaning(_NO, 488, 88, "undefinedReason", "The picture is larger than is taken here"),
    Reason.BAD_REQUEST: Meaning(_NO, 400, 111, "undefinedReason", "The request makes no sense"),
    Reason.MESSAGE_TOO_LARGE: Meaning(_NO, 513, 95, "undefinedReason", "The message is too large"),
    Reason.LOOP: Meaning(_NO, 482, 25, "undefinedReason", "The request came round in a loop"),
    Reason.UNSUPPORTED: Meaning(_NO, 501, 79, "undefinedReason", "This is not supported"),
    Reason.NO_MEDIA: Meaning(_BAD, 480, 41, "undefinedReason", "No media came from the participant for too long"),
    Reason.TRANSPORT_FAILED: Meaning(_BAD, 503, 41, "undefinedReason", "The connection broke"),
    Reason.ICE_FAILED: Meaning(_BAD, 480, 41, "undefinedReason", "No network path for media was found"),
    Reason.DTLS_FAILED: Meaning(_BAD, 488, 41, "undefinedReason", "The media keys could not be agreed on"),
    Reason.NO_ACK: Meaning(_BAD, 408, 102, "undefinedReason", "The peer never acknowledged the answer"),
    Reason.TIMEOUT: Meaning(_BAD, 408, 102, "undefinedReason", "The peer did not respond in time"),
    Reason.UNREACHABLE: Meaning(_BAD, 480, 3, "unreachableDestination", "The peer cannot be reached"),
    Reason.OVERLOAD: Meaning(_NO, 503, 42, "noBandwidth", "The service is at its limit"),
    Reason.NO_PORTS: Meaning(_NO, 503, 47, "noBandwidth", "No media port is free"),
    Reason.GLARE: Meaning(_NO, 491, 41, "undefinedReason", "Both sides changed the call at the same moment"),
    Reason.INTERNAL: Meaning(_BAD, 500, 41, "undefinedReason", "Something went wrong inside the service"),
}

_FROM_SIP: dict[int, Reason] = {
    401: Reason.AUTHENTICATION_NEEDED,
    403: Reason.NOT_ALLOWED,
    404: Reason.NO_SUCH_USER,
    407: Reason.AUTHENTICATION_NEEDED,
    408: Reason.TIMEOUT,
    410: Reason.NO_SUCH_USER,
    480: Reason.NO_ANSWER,
    482: Reason.LOOP,
    483: Reason.LOOP,
    486: Reason.BUSY,
    487: Reason.CANCELLED,
    488: Reason.NO_COMMON_FORMAT,
    491: Reason.GLARE,
    501: Reason.UNSUPPORTED,
    503: Reason.OVERLOAD,
    513: Reason.MESSAGE_TOO_LARGE,
    600: Reason.BUSY,
    603: Reason.DECLINED,
    606: Reason.NO_COMMON_FORMAT,
}

_FROM_Q850: dict[int, Reason] = {
    1: Reason.NO_SUCH_USER,
    3: Reason.UNREACHABLE,
    16: Reason.NORMAL,
    17: Reason.BUSY,
    18: Reason.TIMEOUT,
    19: Reason.NO_ANSWER,
    21: Reason.DECLINED,
    25: Reason.LOOP,
    31: Reason.NORMAL,
    41: Reason.TRANSPORT_FAILED,
    42: Reason.OVERLOAD,
    47: Reason.OVERLOAD,
    79: Reason.UNSUPPORTED,
    88: Reason.NO_COMMON_FORMAT,
    102: Reason.TIMEOUT,
}


def from_sip(status: int) -> Reason:
    """Return what a final SIP status that a peer sent means here (RFC 3261 §21)."""
    if 200 <= status < 300:
        return Reason.NORMAL
    known = _FROM_SIP.get(status)
    if known is not None:
        return known
    if 300 <= status < 400:
        return Reason.UNREACHABLE
    if 400 <= status < 500:
        return Reason.BAD_REQUEST
    return Reason.DECLINED if status >= 600 else Reason.INTERNAL


def from_q850(cause: int) -> Reason:
    """Return what an ITU-T Q.850 cause that a peer sent means here."""
    return _FROM_Q850.get(cause, Reason.INTERNAL)


_FROM_H225: dict[str, Reason] = {
    "noBandwidth": Reason.OVERLOAD,
    "gatekeeperResources": Reason.OVERLOAD,
    "unreachableDestination": Reason.UNREACHABLE,
    "destinationRejection": Reason.DECLINED,
    "invalidRevision": Reason.UNSUPPORTED,
    "noPermission": Reason.NOT_ALLOWED,
    "unreachableGatekeeper": Reason.UNREACHABLE,
    "gatewayResources": Reason.OVERLOAD,
    "badFormatAddress": Reason.NO_SUCH_USER,
    "adaptiveBusy": Reason.BUSY,
    "inConf": Reason.BUSY,
    "facilityCallDeflection": Reason.UNREACHABLE,
    "securityDenied": Reason.AUTHENTICATION_NEEDED,
    "calledPartyNotRegistered": Reason.NO_SUCH_USER,
    "callerNotRegistered": Reason.NOT_ALLOWED,
    "neededFeatureNotSupported": Reason.UNSUPPORTED,
    "tunnelledSignallingRejected": Reason.UNSUPPORTED,
    "securityError": Reason.AUTHENTICATION_NEEDED,
    "hopCountExceeded": Reason.LOOP,
}


def from_h225(reason: str, cause: int | None = None) -> Reason:
    """Return what an H.225.0 ReleaseCompleteReason that a peer sent means here; the Q.850 cause says it where that
    says nothing (H.225.0 Table 5)."""
    known = _FROM_H225.get(reason)
    if known is not None:
        return known
    return Reason.NORMAL if cause is None else from_q850(cause)


class Refused(Exception):
    """Something was refused or failed for a reason that the peer and the log are told.

    It may cross between processes: its arguments are plain data.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.text}: {self.detail}" if self.detail else self.reason.text

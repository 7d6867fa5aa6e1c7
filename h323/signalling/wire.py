"""Signalling messages between octets and `Signal`: Q.931 around H323-UserInformation (H.225.0 §7.2, §7.3). Pure."""

from __future__ import annotations

from typing import Any, cast

from h323 import elements, messages
from h323.h245.events import Pdu
from h323.q931 import Element, Message, Q931Error, Type, build, parse, user_user
from h323.signalling.events import BODIES, Signal, Value

MAX_TUNNELLED = 32
"""H.245 messages read out of one signalling message; real endpoints put at most five in."""
_EXTRA = ("h4501SupplementaryService", "genericData", "nonStandardData", "nonStandardControl", "stimulusControl")
_VIDEO_CALL = 6 * 64_000
"""bit/s that a SETUP asks for if nobody says how much: what a room system of 384 kbit/s asks for."""


class BadSignal(ValueError):
    """Octets that are no signalling message; reference is that of the call, if so much could be read."""

    def __init__(self, detail: str, reference: int | None = None) -> None:
        super().__init__(detail)
        self.reference = reference


class PerCodec:
    """H.245 in aligned PER, as a call's `ControlCodec`."""

    def encode(self, pdu: Pdu) -> bytes:
        """Return the encoding. Raises ValueError."""
        return messages.encode(messages.Kind.H245, pdu)

    def decode(self, data: bytes) -> Pdu:
        """Return the message. Raises ValueError."""
        return cast(Pdu, messages.decode(messages.Kind.H245, data))

    def encode_channel(self, channel: Value) -> bytes:
        """Return a bare OpenLogicalChannel. Raises ValueError."""
        return messages.encode(messages.Kind.FAST_START, channel)

    def decode_channel(self, data: bytes) -> Value:
        """Return a bare OpenLogicalChannel. Raises ValueError."""
        return cast(Value, messages.decode(messages.Kind.FAST_START, data))


def write_signal(signal: Signal) -> bytes:
    """Return a message as the content of a TPKT. Raises ValueError for what cannot be written."""
    body: tuple[str, Any]
    if signal.body is None:
        body = ("empty", None)
    else:
        body = (BODIES[signal.kind], signal.body)
    if signal.control and signal.parallel and signal.body is not None:
        body = (body[0], {**signal.body, "parallelH245Control": list(signal.control)})
    pdu: Value = {"h323-message-body": body, "h245Tunnelling": bool(signal.tunnelling), **signal.extra}
    if signal.control and not signal.parallel:
        pdu["h245Control"] = list(signal.control)
    information = messages.encode(messages.Kind.H225, {"h323-uu-pdu": pdu})
    found = [(int(identifier), content) for identifier, content in _elements(signal)]
    return build(Message(signal.kind, signal.reference, signal.from_callee, (*found, user_user(information))))


def _elements(signal: Signal) -> list[tuple[Element, bytes]]:
    found: list[tuple[Element, bytes]] = []
    if signal.complete:
        found.append((Element.SENDING_COMPLETE, b""))
    if signal.kind is Type.SETUP:
        bearer = elements.BearerCapability(elements.UNRESTRICTED_DIGITAL, signal.bandwidth or _VIDEO_CALL)
        found.append((Element.BEARER_CAPABILITY, elements.write_bearer(bearer)))
    if signal.cause is not None:
        found.append((Element.CAUSE, elements.write_cause(elements.Cause(signal.cause))))
    if signal.call_state is not None:
        found.append((Element.CALL_STATE, elements.write_call_state(signal.call_state)))
    if signal.display:
        found.append((Element.DISPLAY, elements.write_display(signal.display)))
    if signal.keypad:
        found.append((Element.KEYPAD, elements.write_keypad(signal.keypad)))
    if signal.caller:
        found.append((Element.CALLING_NUMBER, elements.write_number(elements.Number(signal.caller, presentation=0))))
    if signal.number:
        found.append((Element.CALLED_NUMBER, elements.write_number(elements.Number(signal.number))))
    return found


def read_signal(data: bytes) -> Signal:
    """Read the content of a TPKT. Raises BadSignal."""
    try:
        message = parse(data)
    except Q931Error as error:
        raise BadSignal(str(error)) from None
    try:
        kind = Type(message.type)
    except ValueError:
        raise BadSignal(f"message type {message.type:#04x}", message.reference) from None
    pdu: Value = {}
    if message.user_user is not None:
        try:
            pdu = messages.decode(messages.Kind.H225, message.user_user)["h323-uu-pdu"]
        except messages.DecodeError as error:
            raise BadSignal(str(error), message.reference) from None
    name, body = pdu.get("h323-message-body") or ("empty", None)
    fits = name == BODIES.get(kind) and isinstance(body, dict)
    control, parallel = pdu.get("h245Control") or (), _parallel(body or {}) if fits else []
    cause = elements.read_cause(message.element(Element.CAUSE))
    bearer = elements.read_bearer(message.element(Element.BEARER_CAPABILITY))
    return Signal(
        kind,
        message.reference,
        message.from_callee,
        body if fits else None,
        _tunnelling(message, pdu),
        tuple(bytes(one) for one in [*control, *parallel][:MAX_TUNNELLED]),
        elements.read_display(message.element(Element.DISPLAY)),
        _digits(message.element(Element.CALLED_NUMBER)),
        _digits(message.element(Element.CALLING_NUMBER)),
        elements.read_keypad(message.element(Element.KEYPAD)),
        None if cause is None else cause.value,
        elements.read_call_state(message.element(Element.CALL_STATE)),
        None if bearer is None else bearer.bandwidth,
        {name: pdu[name] for name in _EXTRA if name in pdu},
        message.element(Element.SENDING_COMPLETE) is not None,
        bool(parallel),
    )


def _tunnelling(message: Message, pdu: Value) -> bool | None:
    """Return what a message says of tunnelling. Plain Q.931 says nothing; nor does a message that a gateway or a
    gatekeeper made before the endpoint spoke (provisionalRespToH245Tunnelling, H.323 §8.2.1)."""
    if message.user_user is None or "provisionalRespToH245Tunnelling" in pdu:
        return None
    return bool(pdu.get("h245Tunnelling", False))


def _parallel(body: Value) -> list[bytes]:
    """Return the H.245 messages that a SETUP carries beside its fast start (H.323 §8.2.4)."""
    return list(body.get("parallelH245Control") or ())


def _digits(content: bytes | None) -> str:
    number = elements.read_number(content)
    return "" if number is None else number.digits

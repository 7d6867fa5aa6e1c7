"""openLogicalChannel and its answer, written and read (H.245 §B.3, H.225.0 §6). Pure.

A channel is one-way. Who opens it sends on it, and says on which payload type and where it takes the receiver's RTCP
reports; who answers says where it takes the packets. Both channels of a session share one pair of ports at each side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from h323.describe.audio import read_audio, write_audio
from h323.describe.camera import read_camera, write_camera
from h323.describe.capabilities import descriptor_text, read_role
from h323.describe.video import NON_INTERLEAVED, SINGLE_NAL, bandwidth_of, one_profile, read_video, write_video
from h323.h235.capabilities import unwrap
from h323.signalling.events import Address
from transcode.media import Codec, Format, H235Cipher, Kind, Role

Value = dict[str, Any]

SESSIONS = {Kind.AUDIO: 1, Kind.VIDEO: 2, Kind.CAMERA: 3}
"""The three primary sessions that every endpoint knows (H.225.0 §6.1); others are numbered by the master."""
MAX_SESSION = 255
RTP = "h2250LogicalChannelParameters"
"""Multiplex parameters of a channel that is RTP (H.225.0)."""
_KINDS = {"audioData": Kind.AUDIO, "videoData": Kind.VIDEO, "data": Kind.CAMERA}


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """What an openLogicalChannel says.

    format is None where the data type is not spoken here; its payload type is the one that the packets carry. media
    is where the proposer of a fast start takes packets of a channel that we are to send on, control where it takes
    RTCP. reverse says that the proposer offers to receive, both that one channel is to carry both directions. ciphers
    are those that it may be encrypted with, None for a clear channel; sync is the EncryptionSync that tells its key.
    information is its genericInformation. rtp says that it is one of H.225.0, and not of another network.
    """

    number: int
    kind: Kind | None
    role: Role
    format: Format | None
    session: int
    media: Address | None
    control: Address | None
    bandwidth: int | None
    reverse: bool = False
    ciphers: tuple[H235Cipher, ...] | None = None
    sync: Value | None = None
    information: tuple[Value, ...] = ()
    both: bool = False
    rtp: bool = True


def write_unicast(address: Address) -> Any:
    """Return a TransportAddress of H.245; the host is an IP literal."""
    ip = ip_address(address.host)
    name = "iPAddress" if ip.version == 4 else "iP6Address"
    return ("unicastAddress", (name, {"network": ip.packed, "tsapIdentifier": address.port}))


def read_unicast(value: Any) -> Address | None:
    """Return a TransportAddress of H.245 as address; None for another kind, and for nobody's address."""
    if value is None or value[0] != "unicastAddress" or value[1] is None:
        return None
    kind, inner = value[1]
    if kind not in ("iPAddress", "iP6Address"):
        return None
    ip = ip_address(bytes(inner["network"]))
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return None if ip.is_unspecified or not inner["tsapIdentifier"] else Address(str(ip), int(inner["tsapIdentifier"]))


def data_type(format: Format, role: Role, bandwidth: int | None, capability: Any = None) -> Any:
    """Return the dataType of a channel that we open; capability is the peer's own, which is best repeated.

    Raises ValueError for a format that H.245 has no name for here.
    """
    audio = write_audio(format)
    if audio is not None:
        return ("audioData", capability or audio)
    if format.codec is Codec.H224:
        return ("data", capability or write_camera(format.parameter("framing")))
    video = one_profile(capability, format) if capability else write_video(format, bandwidth)
    if video is None:
        raise ValueError(f"H.245 has no name for {format.codec.value}")
    return ("videoData", video)


def packetization(format: Format) -> Value | None:
    """Return the mediaPacketization of a format, None where the codec has one alone."""
    descriptor: Any
    if format.codec is Codec.H264:
        mode = format.parameter("packetization-mode", "0")
        descriptor = ("oid", NON_INTERLEAVED if mode == "1" else SINGLE_NAL)
    elif format.codec is Codec.H263:
        descriptor = ("rfc-number", 2190)
    elif format.codec is Codec.H263P:
        descriptor = ("rfc-number", 2429)
    else:
        return None
    return {"payloadDescriptor": descriptor, "payloadType": format.payload_type}


def write_parameters(format: Format, session: int, media: Address | None, control: Address | None) -> Value:
    """Return h2250LogicalChannelParameters of a channel."""
    found: Value = {"sessionID": session, "mediaGuaranteedDelivery": False}
    if media is not None:
        found["mediaChannel"] = write_unicast(media)
    if control is not None:
        found["mediaControlChannel"] = write_unicast(control)
    if format.payload_type >= 96:
        found["dynamicRTPPayloadType"] = format.payload_type
    packed = packetization(format)
    if packed is not None:
        found["mediaPacketization"] = ("rtpPayloadType", packed)
    if write_audio(format) is not None:
        found["silenceSuppression"] = False
    return found


def open_request(
    format: Format,
    role: Role,
    session: int,
    control: Address,
    bandwidth: int | None = None,
    capability: Any = None,
) -> Value:
    """Return an openLogicalChannel without number for a channel that we send on. Raises ValueError."""
    return {
        "forwardLogicalChannelParameters": {
            "dataType": data_type(format, role, bandwidth, capability),
            "multiplexParameters": (
                RTP,
                write_parameters(format, session, None, control),
            ),
        }
    }


def read_request(request: Value) -> ChannelFacts:
    """Read an openLogicalChannel, of the wire or of fast start."""
    number = request["forwardLogicalChannelNumber"]
    forward = request["forwardLogicalChannelParameters"]
    reverse = request.get("reverseLogicalChannelParameters")
    backwards = forward["dataType"][0] == "nullData" and reverse is not None
    half: Value = reverse if backwards and reverse is not None else forward
    (name, inner), ciphers = unwrap(half["dataType"])
    kind = _KINDS.get(name)
    multiplex = half.get("multiplexParameters")
    parameters = _inside(multiplex, RTP)
    role, format, rate = _read_data(kind, inner, parameters)
    return ChannelFacts(
        number,
        kind,
        role,
        format,
        parameters.get("sessionID", 0),
        read_unicast(parameters.get("mediaChannel")),
        read_unicast(parameters.get("mediaControlChannel")),
        rate,
        backwards,
        ciphers,
        request.get("encryptionSync"),
        tuple(request.get("genericInformation") or ()),
        reverse is not None and not backwards,
        multiplex is not None and multiplex[0] == RTP,
    )


def _inside(choice: Any, name: str) -> Value:
    """Return what a CHOICE holds if it is the alternative of this name, nothing otherwise."""
    return choice[1] if choice is not None and choice[0] == name else {}


def _read_data(kind: Kind | None, inner: Any, parameters: Value) -> tuple[Role, Format | None, int | None]:
    if kind is Kind.CAMERA:
        return Role.MAIN, _numbered(read_camera(inner), parameters.get("dynamicRTPPayloadType")), None
    if kind not in (Kind.AUDIO, Kind.VIDEO) or inner is None or inner[0] is None:  # of others it may be a sequence
        return Role.MAIN, None, None
    number = parameters.get("dynamicRTPPayloadType")
    if kind is Kind.AUDIO:
        sound = read_audio(inner)
        return Role.MAIN, _numbered(sound, number), None
    role, inside = read_role(inner)
    if len(inside) != 1:
        return role, None, None  # a channel carries one codec
    plain = inside[0]
    packed = _inside(parameters.get("mediaPacketization"), "rtpPayloadType")
    text = descriptor_text(packed["payloadDescriptor"]) if packed else ""
    format = read_video(plain, frozenset({text}))
    if number is None:
        number = packed.get("payloadType")
    return role, _numbered(format, number), bandwidth_of(plain)


def _numbered(format: Format | None, number: int | None) -> Format | None:
    return format if format is None or number is None else replace(format, payload_type=number)


def write_answer(session: int, media: Address, control: Address, payload_type: int | None = None) -> Value:
    """Return an openLogicalChannelAck without number: where we take the packets and their RTCP."""
    parameters: Value = {
        "sessionID": session,
        "mediaChannel": write_unicast(media),
        "mediaControlChannel": write_unicast(control),
        "flowControlToZero": False,
    }
    if payload_type is not None and payload_type >= 96:
        parameters["dynamicRTPPayloadType"] = payload_type
    return {"forwardMultiplexAckParameters": ("h2250LogicalChannelAckParameters", parameters)}


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What an openLogicalChannelAck says: session, where the packets go, where RTCP goes, 0 where it does not say.

    sync is the EncryptionSync that tells the channel's key. information is its genericInformation. halted says that
    nothing is to be sent before a flow control command allows it.
    """

    session: int
    media: Address | None
    control: Address | None
    payload_type: int | None
    sync: Value | None = None
    information: tuple[Value, ...] = ()
    halted: bool = False


def read_answer(answer: Value) -> AnswerFacts:
    """Read an openLogicalChannelAck."""
    parameters = _inside(answer.get("forwardMultiplexAckParameters"), "h2250LogicalChannelAckParameters")
    return AnswerFacts(
        parameters.get("sessionID", 0),
        read_unicast(parameters.get("mediaChannel")),
        read_unicast(parameters.get("mediaControlChannel")),
        parameters.get("dynamicRTPPayloadType"),
        answer.get("encryptionSync"),
        tuple(answer.get("genericInformation") or ()),
        bool(parameters.get("flowControlToZero")),
    )

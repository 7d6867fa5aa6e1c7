"""Terminal capability sets: ours written from an offer of the house, the peer's read (H.245 §B.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from h323.describe.audio import read_audio, write_received
from h323.describe.camera import read_camera, write_camera
from h323.describe.video import NON_INTERLEAVED, SINGLE_NAL, bandwidth_of, read_video, write_video
from h323.h235.capabilities import read_security
from h323.h245.parameters import read_collapsed
from transcode.media import Codec, Format, H235Cipher, Kind, MediaDescription, Role, StreamDescription

Value = dict[str, Any]

H239_CONTROL = "0.0.8.239.1.1"
"""Says that presentation tokens are understood (H.239 §11.1)."""
H239_VIDEO = "0.0.8.239.1.2"
"""Marks a video capability as one with a role (H.239 §11.2)."""
ROLE = 1
"""Parameter of H239_VIDEO: a boolean array of roles; the other one is "live", a second camera."""
ROLE_PRESENTATION = 1
MAX_ENTRIES = 512
"""Entries read of a set; H323Plus sends 37."""
CLOCK = 8000
"""Hz of the RTP clock of every sound format that H.245 names itself, and so of key presses beside them."""
MAX_JITTER = 250
"""Milliseconds of jitter that our buffers take, as told in h2250Capability."""
_USER_INPUT = ("basicString", "dtmf")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the peer receives: its entry number, the format, its capability as written, and bit/s."""

    number: int
    kind: Kind
    role: Role
    format: Format
    capability: tuple[str, Any]
    bandwidth: int | None


@dataclass(frozen=True, slots=True)
class PeerAbilities:
    """What a peer receives, in its order; together are the alternatives that may be used at one time (§B.2.2.3).

    telephone_event is the payload type that it wants key presses on, None if it takes none in RTP. user_input are the
    kinds of UserInput that it takes. presents says that it speaks H.239. security are the ciphers that go with entries.
    """

    entries: tuple[Entry, ...]
    together: tuple[tuple[frozenset[int], ...], ...]
    telephone_event: int | None
    user_input: frozenset[str]
    presents: bool
    security: dict[int, tuple[H235Cipher, ...]] = field(default_factory=dict)

    def of(self, kind: Kind, role: Role = Role.MAIN) -> tuple[Entry, ...]:
        """Return what it receives of a kind."""
        return tuple(one for one in self.entries if one.kind is kind and one.role is role)

    def fits(self, numbers: Iterable[int]) -> bool:
        """Tell whether these entries may be used at one time: each from another alternative set of one descriptor."""
        wanted = list(numbers)
        if not self.together:
            return True
        return any(_assign(wanted, list(sets)) for sets in self.together)


def _assign(wanted: list[int], sets: list[frozenset[int]]) -> bool:
    if not wanted:
        return True
    first, rest = wanted[0], wanted[1:]
    return any(first in one and _assign(rest, sets[:place] + sets[place + 1 :]) for place, one in enumerate(sets))


def multiplex_capability(formats: Iterable[Format]) -> tuple[str, Value]:
    """Return our h2250Capability, with the packetizations that go with our formats."""
    packetization: list[Value] = []
    for format in formats:
        if format.codec is Codec.H264:
            mode = NON_INTERLEAVED if format.parameter("packetization-mode", "0") == "1" else SINGLE_NAL
            packetization.append({"payloadDescriptor": ("oid", mode), "payloadType": format.payload_type})
        elif format.codec is Codec.H263:
            packetization.append({"payloadDescriptor": ("rfc-number", 2190), "payloadType": format.payload_type})
        elif format.codec is Codec.H263P:
            packetization.append({"payloadDescriptor": ("rfc-number", 2429), "payloadType": format.payload_type})
    media: Value = {"h261aVideoPacketization": False}
    if packetization:
        media["rtpPayloadType"] = packetization
    distribution = {
        "multicastCapability": False,
        "multiUniCastConference": False,
        "mediaDistributionCapability": [
            {
                "centralizedControl": True,
                "distributedControl": False,
                "centralizedAudio": True,
                "distributedAudio": False,
                "centralizedVideo": True,
                "distributedVideo": False,
            }
        ],
    }
    return (
        "h2250Capability",
        {
            "maximumAudioDelayJitter": MAX_JITTER,
            "receiveMultipointCapability": distribution,
            "transmitMultipointCapability": distribution,
            "receiveAndTransmitMultipointCapability": distribution,
            "mcCapability": {"centralizedConferenceMC": False, "decentralizedConferenceMC": False},
            "rtcpVideoControlCapability": False,
            "mediaPacketizationCapability": media,
            "logicalChannelSwitchingCapability": False,
            "t120DynamicPortCapability": False,
        },
    )


def write_capabilities(local: MediaDescription) -> Value:
    """Return our set: everything that the house offers to receive, one of each kind at a time.

    With a stream for slides it says that we speak H.239, and take a second video.
    """
    table: list[Value] = []
    sets: list[list[int]] = []

    def add(capabilities: Iterable[tuple[str, Any]]) -> None:
        numbers = []
        for capability in capabilities:
            numbers.append(len(table) + 1)
            table.append({"capabilityTableEntryNumber": len(table) + 1, "capability": capability})
        if numbers:
            sets.append(numbers)

    video: list[Format] = []
    for stream in local.streams:
        if stream.refused:
            continue
        if stream.kind is Kind.AUDIO:
            add(("receiveAudioCapability", one) for format in stream.receive for one in write_received(format))
            pressed = (one for one in stream.receive if one.codec is Codec.TELEPHONE_EVENT)
            keys = next((one for one in pressed if one.clock_rate == CLOCK), None)
            if keys is not None:
                event = {"dynamicRTPPayloadType": keys.payload_type, "audioTelephoneEvent": "0-16"}
                add([("receiveRTPAudioTelephonyEventCapability", event)])
        elif stream.kind is Kind.CAMERA:
            framings = (one.parameter("framing") for one in stream.receive)
            add(("receiveAndTransmitDataApplicationCapability", write_camera(one)) for one in framings)
        elif stream.kind is Kind.VIDEO and stream.role is Role.MAIN:
            video += stream.receive
            add(("receiveVideoCapability", one) for one in _video_capabilities(stream.receive, stream.bandwidth))
    slides = local_slides(local)
    if slides is not None and slides.receive:
        video += [one for one in slides.receive if one not in video]
        shown = _video_capabilities(slides.receive, slides.bandwidth)
        add(("receiveVideoCapability", _extended(one)) for one in shown)
        add([("genericControlCapability", {"capabilityIdentifier": ("standard", H239_CONTROL)})])
    for kind in _USER_INPUT:
        add([("receiveUserInputCapability", (kind, None))])
    return {
        "multiplexCapability": multiplex_capability(video),
        "capabilityTable": table,
        "capabilityDescriptors": [{"capabilityDescriptorNumber": 0, "simultaneousCapabilities": sets}],
    }


def local_slides(local: MediaDescription) -> StreamDescription | None:
    """Return the stream for slides, if the house offers one."""
    slides = (one for one in local.streams if one.role is Role.SLIDES and one.kind is Kind.VIDEO)
    return next((one for one in slides if not one.refused), None)


def _video_capabilities(formats: Iterable[Format], bandwidth: int | None) -> list[tuple[str, Any]]:
    """Return the capabilities of formats, each once: packetizations are told elsewhere."""
    found: list[tuple[str, Any]] = []
    for format in formats:
        capability = write_video(format, bandwidth)
        if capability is not None and capability not in found:
            found.append(capability)
    return found


def _extended(capability: tuple[str, Any]) -> tuple[str, Any]:
    role = {"parameterIdentifier": ("standard", ROLE), "parameterValue": ("booleanArray", ROLE_PRESENTATION)}
    extension = {"capabilityIdentifier": ("standard", H239_VIDEO), "collapsing": [role]}
    return ("extendedVideoCapability", {"videoCapability": [capability], "videoCapabilityExtension": [extension]})


_RECEIVES = {
    "receiveAudioCapability": Kind.AUDIO,
    "receiveAndTransmitAudioCapability": Kind.AUDIO,
    "receiveVideoCapability": Kind.VIDEO,
    "receiveAndTransmitVideoCapability": Kind.VIDEO,
    "receiveDataApplicationCapability": Kind.CAMERA,
    "receiveAndTransmitDataApplicationCapability": Kind.CAMERA,
}


def read_capabilities(value: Value) -> PeerAbilities:
    """Read a peer's set; what is not spoken here is left out. Raises nothing for what the codec lets through."""
    entries: list[Entry] = []
    events: int | None = None
    inputs: set[str] = set()
    presents = False
    packetization = read_packetization(value.get("multiplexCapability"))
    for one in (value.get("capabilityTable") or [])[:MAX_ENTRIES]:
        said = one.get("capability")
        if said is None or said[0] is None or (said[1] is not None and said[1] == (None, None)):
            continue  # an entry that is taken back, or of a kind that came later
        name, capability = str(said[0]), said[1]
        kind = _RECEIVES.get(name)
        if kind is not None:
            entries += _read_entries(one["capabilityTableEntryNumber"], kind, capability, packetization)
        elif name == "receiveRTPAudioTelephonyEventCapability":
            events = capability["dynamicRTPPayloadType"]
        elif name in ("receiveUserInputCapability", "receiveAndTransmitUserInputCapability") and capability[0]:
            inputs.add(capability[0])
        elif name == "genericControlCapability":
            presents = presents or capability["capabilityIdentifier"] == ("standard", H239_CONTROL)
    together = tuple(
        tuple(frozenset(one) for one in descriptor.get("simultaneousCapabilities") or ())
        for descriptor in value.get("capabilityDescriptors") or ()
    )
    return PeerAbilities(tuple(entries), together, events, frozenset(inputs), presents, read_security(value))


def _read_entries(number: int, kind: Kind, capability: Any, packetization: frozenset[str]) -> list[Entry]:
    """Return what an entry of the table means; one for slides may hold several codecs."""
    if kind is Kind.CAMERA:
        camera = read_camera(capability)
        return [] if camera is None else [Entry(number, kind, Role.MAIN, camera, capability, None)]
    found = []
    role, plain = read_role(capability)
    for inner in plain:
        format = read_audio(inner) if kind is Kind.AUDIO else read_video(inner, packetization)
        if format is not None:
            whole = inner if role is Role.MAIN else _extended(inner)
            rate = bandwidth_of(inner) if kind is Kind.VIDEO else None
            found.append(Entry(number, kind, role, format, whole, rate))
    return found


def read_role(capability: tuple[str, Any]) -> tuple[Role, list[tuple[str, Any]]]:
    """Return the role of a video capability, and the plain capabilities inside an extended one (H.239 §11.2).

    What came later than we know is left out; so are extended ones with another role than presentation.
    """
    if capability[0] != "extendedVideoCapability":
        return Role.MAIN, [capability]
    extensions = capability[1].get("videoCapabilityExtension") or ()
    if not any(_presents(one) for one in extensions):
        return Role.SLIDES, []
    return Role.SLIDES, [one for one in capability[1]["videoCapability"] if one[0] is not None]


def _presents(extension: Value) -> bool:
    """Tell whether an extension marks slides; one that names no role does."""
    if extension["capabilityIdentifier"] != ("standard", H239_VIDEO):
        return False
    roles = read_collapsed(extension).get(ROLE)
    return roles is None or bool(roles & ROLE_PRESENTATION)


def read_packetization(multiplex: Any) -> frozenset[str]:
    """Return the packetizations that a peer takes: object identifiers, and RFC numbers as text."""
    if multiplex is None or multiplex[0] != "h2250Capability":
        return frozenset()
    listed = multiplex[1].get("mediaPacketizationCapability", {}).get("rtpPayloadType") or ()
    return frozenset(text for one in listed if (text := descriptor_text(one["payloadDescriptor"])))


def descriptor_text(descriptor: Any) -> str:
    """Return an RTP payload descriptor as text; empty for one that says nothing here."""
    kind, value = descriptor
    return str(value) if kind in ("oid", "rfc-number") else ""

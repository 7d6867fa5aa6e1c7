"""The media interface: one description of media for every protocol, as plain frozen data.

SDP and H.245 are two spellings of what stands here. An adapter translates its own spelling to and from a
`MediaDescription`; the media plane offers and answers in these terms only. Nothing but what is defined here and in
`transcode.interface`, which holds the calls, crosses between the control plane and the media plane, so everything
here can be pickled and the plane can live in another process.

A description is always told from the side of the one who describes: `receive` is what that side takes, `send` what
it will send. Streams are per direction: SDP's two-way line has the same formats in both, H.245's two one-way
channels each fill one (RFC 3264 §5; H.245 §C.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

LegId = NewType("LegId", str)
"""One participant's media, for as long as its call lasts."""
RoomId = NewType("RoomId", str)

MAX_STREAMS = 16
"""m= lines or logical channels in one description; a room system uses at most 8."""
MAX_FORMATS = 64
"""Formats of one stream; a browser lists about 40 for video."""


class Kind(Enum):
    """What a stream carries."""

    AUDIO = "audio"
    VIDEO = "video"
    TEXT = "text"
    DATA = "data"
    CAMERA = "camera"


class Role(Enum):
    """What a stream is for (RFC 4796; H.239)."""

    MAIN = "main"
    SLIDES = "slides"


class Codec(Enum):
    """A way of coding, by its registered media subtype (RFC 3551 and the payload formats' own RFCs)."""

    __hash__ = object.__hash__  # Enum's own is Python and hashes the name: too slow for each packet

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"
    G729 = "G729"
    G723 = "G723"
    TELEPHONE_EVENT = "telephone-event"
    COMFORT_NOISE = "CN"
    H264 = "H264"
    VP8 = "VP8"
    H263 = "H263"
    H263P = "H263-1998"
    H261 = "H261"
    RTX = "rtx"
    T140 = "t140"
    RED = "red"
    H224 = "H224"


@dataclass(frozen=True, slots=True)
class Format:
    """A codec with the payload type and parameters that the describing side gave it.

    clock_rate is in Hz of RTP timestamps (8,000 for G722, RFC 3551 §4.5.2). parameters are the fmtp line's pairs,
    names in lower case, in the order given (H.241 parameters are written in the same names). feedback holds the
    rtcp-fb values that hold for this format: "nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb".
    """

    codec: Codec
    payload_type: int
    clock_rate: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    feedback: tuple[str, ...] = ()

    def parameter(self, name: str, default: str = "") -> str:
        """Return one fmtp parameter by its lower-case name."""
        for key, value in self.parameters:
            if key == name:
                return value
        return default


class Suite(Enum):
    """SRTP crypto suites by their SDES names (RFC 4568 §6.2, RFC 6188, RFC 7714); key and salt lengths in octets."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AES_256_CM_HMAC_SHA1_32 = "AES_256_CM_HMAC_SHA1_32"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"

    @property
    def key_length(self) -> int:
        """Octets of the master key."""
        return 32 if "256" in self.value else 16

    @property
    def salt_length(self) -> int:
        """Octets of the master salt."""
        return 12 if self.value.startswith("AEAD") else 14


@dataclass(frozen=True, slots=True)
class SrtpKey:
    """One a=crypto line: master key and salt with which the describing side encrypts what it sends (RFC 4568)."""

    tag: int
    suite: Suite
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)


class H235Cipher(Enum):
    """How H.323 encrypts RTP payloads (H.235.6 §9.3)."""

    AES_128_CBC = "AES-128-CBC"
    AES_256_CBC = "AES-256-CBC"

    @property
    def key_length(self) -> int:
        """Octets of a key."""
        return 32 if self is H235Cipher.AES_256_CBC else 16


@dataclass(frozen=True, slots=True)
class H235Key:
    """The key of one direction, and the payload type from which on it holds (H.235.6 §8.6)."""

    cipher: H235Cipher
    key: bytes = field(repr=False)
    payload_type: int


@dataclass(frozen=True, slots=True)
class H235Keys:
    """What encrypts the payloads that the describing side sends and receives; a direction without key is shut."""

    send: H235Key | None = None
    receive: H235Key | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A certificate's fingerprint: algorithm as in "sha-256", value as hex pairs with colons (RFC 8122)."""

    algorithm: str
    value: str


class Setup(Enum):
    """DTLS role (RFC 4145, RFC 5763)."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"


@dataclass(frozen=True, slots=True)
class Dtls:
    """How the describing side does DTLS-SRTP."""

    setup: Setup
    fingerprints: tuple[Fingerprint, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One ICE candidate (RFC 8839 §5.1); type is host, srflx, prflx or relay."""

    foundation: str
    component: int
    protocol: str
    priority: int
    address: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None


@dataclass(frozen=True, slots=True)
class Ice:
    """ICE credentials and candidates of the describing side."""

    user: str
    password: str = field(repr=False)
    candidates: tuple[Candidate, ...] = ()
    lite: bool = False
    complete: bool = False


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Where empty RTP packets go that keep a translator's way open, each interval seconds (H.460.19 §7)."""

    address: str
    port: int
    interval: int
    payload_type: int


@dataclass(frozen=True, slots=True)
class Multiplex:
    """A port, with RTCP on the next one, where packets of many streams come, those of this one with its id before
    them (H.460.19 §7.3)."""

    port: int
    id: int


@dataclass(frozen=True, slots=True)
class Traversal:
    """How packets to and from the describing side pass a translator (H.460.19).

    hidden says that this side stands behind one: packets go where its own come from, and not where it says; host is
    the address that they are likely to come from. keep_alive is what it asks for. prefix is what it wants before each
    packet, as a number of four octets; prefixed says that it was asked to do the same, and sends to our `Multiplex`.
    """

    hidden: bool = False
    host: str | None = None
    keep_alive: KeepAlive | None = None
    prefix: int | None = None
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Transport:
    """Where and how one stream's packets travel.

    port 0 refuses or ends the stream. rtcp_port None means port + 1, unless rtcp_mux. feedback says that the
    profile is one with RTP/AVPF. Encryption is SDES if keys are given, DTLS-SRTP if dtls is, none otherwise; a
    description that offers encryption without demanding it (RFC 8643) has `optional` set. sctp_port is that of a data
    stream's association inside DTLS (RFC 8841). h235 encrypts payloads as H.323 does; signalling agrees on its keys, so
    none of our offers holds them. multiplex stands in our offers alone, traversal in what is told of the peer.
    """

    address: str | None
    port: int
    rtcp_address: str | None = None
    rtcp_port: int | None = None
    rtcp_mux: bool = False
    feedback: bool = False
    keys: tuple[SrtpKey, ...] = ()
    optional: bool = False
    dtls: Dtls | None = None
    ice: Ice | None = None
    sctp_port: int | None = None
    h235: H235Keys | None = None
    multiplex: Multiplex | None = None
    traversal: Traversal | None = None


@dataclass(frozen=True, slots=True)
class Mid:
    """How packets of a bundle tell which stream they are of: its name, and the id, 1 to 14, of the RTP header extension
    that holds it (RFC 9143 §15, RFC 8285 §4.2)."""

    name: str
    extension: int


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """One stream, told from the side that describes it.

    id is the adapter's own name of it and stays the same for the stream's life (SDP: mid or the line's index; H.245:
    session id). receive holds the formats that this side takes, best first; send those that it will send; an empty
    one means that this direction is off. bandwidth is in bit/s, what this side takes at most; None is no limit.
    packet_time in ms is what this side wants to receive (a=ptime). ssrcs are those that this side announced.
    separate says that each direction was agreed on by itself, as H.245's logical channels are: codecs may differ, and
    the payload types in send are the ones that the describing side will use, whatever the other has told. mid is there
    for a stream in a bundle whose packets name it.
    """

    id: str
    kind: Kind
    receive: tuple[Format, ...]
    send: tuple[Format, ...]
    transport: Transport
    role: Role = Role.MAIN
    bandwidth: int | None = None
    packet_time: int | None = None
    ssrcs: tuple[int, ...] = ()
    cname: str = ""
    separate: bool = False
    mid: Mid | None = None

    @property
    def refused(self) -> bool:
        """Whether this stream was refused or ended."""
        return self.transport.port == 0


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """All streams of one side, in the order of the offer; an answer has the same ids in the same order.

    bundle names the streams that share the first one's transport (RFC 9143).
    """

    streams: tuple[StreamDescription, ...]
    bundle: tuple[str, ...] = ()

    def stream(self, id: str) -> StreamDescription | None:
        """Return the stream with this id."""
        for stream in self.streams:
            if stream.id == id:
                return stream
        return None


class SrtpPolicy(Enum):
    """Whether media must be encrypted."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the house lets one leg do: the frame inside which descriptions are negotiated.

    bandwidth in bit/s bounds each video stream; width and height in pixels and frame_rate in pictures/s bound what
    is sent to it. ice says that the leg is a browser's: everything goes by one transport with ICE and DTLS, which may
    carry data channels; other legs answer ICE and DTLS on each stream's own ports where they are offered. text says
    whether real-time text (RFC 4103) is spoken, slides whether a second video is taken for them.
    """

    srtp: SrtpPolicy = SrtpPolicy.PREFER
    audio: tuple[Codec, ...] = (Codec.OPUS, Codec.G722, Codec.PCMU, Codec.PCMA, Codec.G729, Codec.G723)
    video: tuple[Codec, ...] = (Codec.H264, Codec.VP8, Codec.H263P, Codec.H263, Codec.H261)
    bandwidth: int = 2_000_000
    width: int = 1280
    height: int = 720
    frame_rate: int = 30
    text: bool = True
    slides: bool = True
    ice: bool = False
    local_address: str | None = None
    public_address: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a description that we offer is to hold: streams by kind and role, each with our direction.

    slides is a second video with that role. separate offers beside it what can only be received, to peers whose
    directions are agreed on apart (H.245). camera is far-end camera control. encrypted demands encryption; dtls offers
    it by DTLS-SRTP instead of key lines. ice offers ICE, bundle all streams on one transport that RTP and RTCP share
    (RFC 9143): with all four, what a browser takes. A call that is up keeps its transports.
    """

    audio: bool = True
    video: bool = True
    encrypted: bool = False
    text: bool = False
    slides: bool = False
    dtls: bool = False
    ice: bool = False
    bundle: bool = False
    separate: bool = False
    camera: bool = False


class CameraAct(Enum):
    """What is asked of a camera (H.281 §5)."""

    START = "start"
    CONTINUE = "continue"
    STOP = "stop"
    SOURCE = "source"
    SWITCHED = "switched"
    STORE = "store"
    RECALL = "recall"


@dataclass(frozen=True, slots=True)
class CameraAction:
    """One thing asked of a camera.

    For START, CONTINUE and STOP: pan -1 left, 1 right; tilt -1 down, 1 up; zoom -1 out, 1 in; focus -1 out, 1 in; 0
    leaves it. number is that of a source (1 is the main camera) or of a preset, 0 to 15.
    """

    act: CameraAct
    pan: int = 0
    tilt: int = 0
    zoom: int = 0
    focus: int = 0
    number: int = 0

    @property
    def moves(self) -> bool:
        """Whether anything of it moves."""
        return any((self.pan, self.tilt, self.zoom, self.focus))


class Layout(Enum):
    """How a room's picture is divided."""

    AUTO = "auto"
    GRID = "grid"
    ONE_PLUS_FIVE = "1+5"
    ONE_PLUS_SEVEN = "1+7"
    SPEAKER = "speaker"


@dataclass(frozen=True, slots=True)
class Sound:
    """Something that is played: a file of the prompts by its name without suffix ("en/enter-room", "tones/knock").

    pause is how many ms of silence come before it.
    """

    name: str
    pause: int = 0


@dataclass(frozen=True, slots=True)
class LegPlan:
    """What the room decided for one leg: its name, whether it is heard and seen, and what it sees.

    layout None means the room's. heard False mutes its sound, seen False takes its picture out, listens False
    gives it silence. notice is a line that is written over what this leg alone sees, empty for none. slides False
    leaves those of others out of its one picture; a second video brings them all the same. keys says that its peer is
    told of keys by signalling, so that they need not go as tones in its sound.
    """

    leg: LegId
    name: str
    heard: bool = True
    seen: bool = True
    listens: bool = True
    layout: Layout | None = None
    notice: str = ""
    slides: bool = True
    keys: bool = False


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """Who hears whom and who sees what in one room. A leg that is not named here neither hears nor is heard.

    echo: each leg hears and sees itself alone, a second later, with the slate's text under its picture. presenter is
    the leg whose slides the others see: by their second video, else large in the picture of people. spotlight is the
    leg that everybody sees large, whoever speaks. background is what everybody hears over and over beside the others:
    music, a ring tone.

    slate is what stands on the picture of somebody who sees nobody else, in lines; entry what was typed there so far,
    drawn large below, None where nothing is asked for.

    forward says that two legs alone may be sent what the other sends as it is, where it suits them: it is no meeting.
    """

    legs: tuple[LegPlan, ...]
    layout: Layout = Layout.AUTO
    title: str = ""
    slate: str = ""
    echo: bool = False
    presenter: LegId | None = None
    spotlight: LegId | None = None
    background: tuple[Sound, ...] = ()
    entry: str | None = None
    forward: bool = False

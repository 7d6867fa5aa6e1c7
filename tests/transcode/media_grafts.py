"""Media descriptions that are well-formed and that nobody would send: legal types, absurd values, by chance."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any

from transcode.media import (
    Abilities,
    Candidate,
    Codec,
    Dtls,
    Fingerprint,
    Format,
    H235Cipher,
    H235Key,
    H235Keys,
    Ice,
    KeepAlive,
    Kind,
    MediaDescription,
    Mid,
    Multiplex,
    Role,
    Setup,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
    Traversal,
    Wanted,
)

ADDRESSES = (
    *("127.0.0.1",) * 6,
    *("0.0.0.0", "255.255.255.255", "127.255.255.255", "224.0.0.1", "240.0.0.1", "0.0.0.1", "::1", "::", "ff02::1"),
    *("fe80::1%nowhere", "::ffff:127.0.0.1", "2001:db8::1", "", "name.local", "x" * 300),
    None,
)
PORTS = (*(40_000,) * 4, 0, 1, 9, 65_534, 65_535, 65_536, -1, 1 << 40)
NUMBERS = (
    *("", "0", "1", "-1", "31", "32", "33", "99", "3600", "8192", "999999999", "4294967296", "1" * 5000, "1e3", "0x10"),
    *("٣", " 7 ", "x", "\0", "42e01f", "42e01", "42E01FF", "000000", "ffffff", "640c34", "7a0029", "58c00b", "420009"),
    *("98/98/98", "0-16", "hdlc", "plain", "Z0LAH9oBQBbsBEAAAAMAQAAADwPFi6g=,aM48gA==", "AAAA,====,Zw=="),
)
NAMES = (
    *("profile-level-id", "packetization-mode", "max-fs", "max-mbps", "max-br", "max-fr", "max-dpb", "cif", "qcif"),
    *("sqcif", "imageattr", "apt", "useinbandfec", "maxaveragebitrate", "stereo", "annexb", "mode", "cps", "framing"),
    *("level-asymmetry-allowed", "sprop-parameter-sets", "0-16", "98/98/98", "", "unknown", "rtx-time"),
)
FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb", "transport-cc", "", "nack sli", "x" * 500)
RATES = (*(8000,) * 4, *(90_000,) * 4, 48_000, 1000, 16_000, 1, 50, 192_000, 0, -8000, 1 << 40)
_OF_KIND = {
    Kind.AUDIO: (
        *(Codec.PCMU, Codec.PCMA, Codec.G722, Codec.OPUS, Codec.G729, Codec.G723),
        *(Codec.TELEPHONE_EVENT, Codec.COMFORT_NOISE, Codec.RED),
    ),
    Kind.VIDEO: (Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261, Codec.RTX, Codec.RED),
    Kind.TEXT: (Codec.T140, Codec.RED),
    Kind.DATA: (Codec.H224, Codec.T140),
    Kind.CAMERA: (Codec.H224,),
}
_CLOCKS = {Codec.OPUS: 48_000, Codec.T140: 1000}


class Grafts:
    """Makes them."""

    def __init__(self, chance: random.Random, absurd: float = 0.25) -> None:
        """absurd is the share of values that are taken from anywhere."""
        self._chance = chance
        self._absurd = absurd

    def _odd(self) -> bool:
        return self._chance.random() < self._absurd

    # Whole things

    def description(self) -> MediaDescription:
        """Return what a peer might offer."""
        streams = tuple(self.stream(str(number)) for number in range(self._chance.choice((0, 1, 2, 2, 3, 4, 6, 17))))
        if streams and self._odd():
            streams = (*streams, replace(streams[0], kind=self._chance.choice(list(Kind))))
        return MediaDescription(streams, self._bundle(streams))

    def again(self, before: MediaDescription) -> MediaDescription:
        """Return a later description: streams appear, change, change their kinds and vanish."""
        streams = []
        for one in before.streams:
            if self._chance.random() < 0.15:
                continue
            streams.append(self.graft(one) if self._chance.random() < 0.6 else one)
        while self._chance.random() < 0.3:
            streams.insert(self._chance.randrange(len(streams) + 1), self.stream(str(self._chance.randrange(20))))
        if self._odd():
            self._chance.shuffle(streams)
        return MediaDescription(tuple(streams), self._bundle(tuple(streams)))

    def answer(self, offered: MediaDescription) -> MediaDescription:
        """Return an answer to our offer: what a peer would say, with some parts replaced."""
        streams = []
        for one in offered.streams:
            theirs = replace(one, transport=replace(one.transport, port=self._port(), multiplex=None))
            kept = tuple(format for format in one.receive if self._chance.random() < 0.6)
            theirs = replace(theirs, receive=kept, send=kept)
            for _ in range(self._chance.choice((0, 0, 1, 2, 4))):
                theirs = self.graft(theirs)
            if self._chance.random() < 0.9:
                streams.append(theirs)
        return MediaDescription(tuple(streams), offered.bundle if not self._odd() else self._bundle(tuple(streams)))

    def _bundle(self, streams: tuple[StreamDescription, ...]) -> tuple[str, ...]:
        if self._chance.random() < 0.6:
            return ()
        names = [one.id for one in streams if self._chance.random() < 0.8]
        return (*names, "nobody") if self._odd() else tuple(names)

    def stream(self, id: str) -> StreamDescription:
        """Return one stream."""
        kind = self._chance.choice((Kind.AUDIO, Kind.AUDIO, Kind.VIDEO, Kind.VIDEO, *Kind))
        formats = self.formats(kind)
        return StreamDescription(
            id=id,
            kind=kind,
            receive=self._chance.choice((formats, formats, formats, (), self.formats(kind))),
            send=self._chance.choice((formats, formats, formats, (), self.formats(kind))),
            transport=self.transport(),
            role=self._chance.choice((Role.MAIN, Role.MAIN, Role.SLIDES)),
            bandwidth=self._chance.choice((None, None, 0, 1, -5, 64_000, 10**12)),
            packet_time=self._chance.choice((None, 20, 0, 1, 5, 7, 30, 1000, -20, 10**9)),
            ssrcs=tuple(self._chance.choice((0, 1, 0xFFFFFFFF, 1 << 40)) for _ in range(self._chance.randrange(3))),
            cname=self._chance.choice(("", "peer", "x" * 400, "\0")),
            separate=self._chance.random() < 0.2,
            mid=self._mid(),
        )

    def graft(self, stream: StreamDescription) -> StreamDescription:
        """Return a stream with one part replaced."""
        other = self.stream(stream.id)
        part = self._chance.choice([one.name for one in fields(StreamDescription) if one.name != "id"])
        if part == "transport":
            inner = self._chance.choice([one.name for one in fields(Transport)])
            changed: Any = replace(stream.transport, **{inner: getattr(other.transport, inner)})
        elif part in ("receive", "send") and getattr(stream, part):
            listed = list(getattr(stream, part))
            at = self._chance.randrange(len(listed))
            listed[at] = self.format(stream.kind, listed[at].codec)
            changed = tuple(listed)
        else:
            changed = getattr(other, part)
        return replace(stream, **{part: changed})

    # Parts

    def formats(self, kind: Kind) -> tuple[Format, ...]:
        """Return a list of formats."""
        return tuple(self.format(kind) for _ in range(self._chance.choice((0, 1, 1, 2, 3, 5, 40))))

    def format(self, kind: Kind, codec: Codec | None = None) -> Format:
        """Return one format."""
        chance = self._chance
        if codec is None or self._odd():
            codec = chance.choice(list(Codec)) if self._odd() else chance.choice(_OF_KIND[kind])
        usual = _CLOCKS.get(codec, 90_000 if kind is Kind.VIDEO else 8000)
        return Format(
            codec,
            chance.choice((0, 96, 97, 98, 127, 1, 72, 128, 300)) if self._odd() else chance.randrange(96, 128),
            chance.choice(RATES) if self._odd() else usual,
            chance.choice((1, 2, 0, 255)) if self._odd() else 1 + (codec is Codec.OPUS),
            tuple((chance.choice(NAMES), chance.choice(NUMBERS)) for _ in range(chance.choice((0, 0, 1, 2, 4, 12)))),
            tuple(chance.choice(FEEDBACK) for _ in range(chance.choice((0, 2, 5)))),
        )

    def _port(self) -> int:
        return self._chance.choice(PORTS) if self._odd() else 40_000

    def _address(self) -> str | None:
        return self._chance.choice(ADDRESSES) if self._odd() else "127.0.0.1"

    def transport(self) -> Transport:
        """Return one way."""
        chance = self._chance
        rare = 0.4
        return Transport(
            address=self._address(),
            port=self._port(),
            rtcp_address=self._address() if chance.random() < rare else None,
            rtcp_port=chance.choice((40_000, *PORTS)) if chance.random() < rare else None,
            rtcp_mux=chance.random() < 0.3,
            feedback=chance.random() < 0.5,
            keys=tuple(self._key() for _ in range(chance.randrange(1, 4))) if chance.random() < rare else (),
            optional=chance.random() < 0.5,
            dtls=self._dtls() if chance.random() < rare else None,
            ice=self._ice() if chance.random() < rare else None,
            sctp_port=chance.choice((5000, 0, 65_535, 70_000, -1)) if chance.random() < rare else None,
            h235=H235Keys(self._h235(), self._h235()) if chance.random() < rare else None,
            multiplex=Multiplex(chance.choice(PORTS), 5) if chance.random() < 0.05 else None,
            traversal=self._traversal() if chance.random() < rare else None,
        )

    def _key(self) -> SrtpKey:
        suite = self._chance.choice(list(Suite))
        lengths = (0, 1, 200) if self._odd() else (suite.key_length,)
        return SrtpKey(
            self._chance.choice((1, 1, 2, 0, 999_999_999, 10**12, -1)),
            suite,
            bytes(self._chance.choice(lengths)),
            bytes(suite.salt_length),
        )

    def _h235(self) -> H235Key | None:
        cipher = self._chance.choice(list(H235Cipher))
        length = self._chance.choice((0, 5, 16, 32)) if self._odd() else cipher.key_length
        return self._chance.choice((None, H235Key(cipher, bytes(length), self._chance.choice((96, 0, 127, 300)))))

    def _dtls(self) -> Dtls:
        prints = [
            Fingerprint("sha-256", ":".join(["AB"] * 32)),
            Fingerprint("md17", "nothing"),
            Fingerprint("", ""),
            Fingerprint("sha-1", "00"),
        ]
        count = self._chance.randrange(5)
        return Dtls(self._chance.choice(list(Setup)), tuple(self._chance.choice(prints) for _ in range(count)))

    def _ice(self) -> Ice:
        chance = self._chance
        short = self._odd()
        return Ice(
            "u" if short else chance.choice(("user", "other", "ü" * 20)),
            chance.choice(("p" * 24, "q" * 24)),
            tuple(self.candidate() for _ in range(chance.choice((0, 1, 3, 100)))),
            chance.random() < 0.2,
            chance.random() < 0.5,
        )

    def candidate(self) -> Candidate:
        """Return one candidate."""
        chance = self._chance
        return Candidate(
            chance.choice(("1", "", "x" * 100)),
            chance.choice((1, 1, 1, 2, 0, 256, -1)),
            chance.choice(("udp", "udp", "UDP", "tcp", "")),
            chance.choice((2_130_706_431, 0, 1, 1 << 31, 1 << 40, -1)),
            self._address() or "",
            self._port(),
            chance.choice(("host", "host", "srflx", "prflx", "relay", "none")),
            self._address(),
            self._port(),
            chance.choice((None, None, "active", "x")),
        )

    def _traversal(self) -> Traversal:
        chance = self._chance
        keep = KeepAlive(
            self._address() or "", self._port(), chance.choice((0, 1, 30, 1 << 32)), chance.choice((0, 127, 300))
        )
        return Traversal(
            chance.random() < 0.5,
            self._address(),
            keep if chance.random() < 0.5 else None,
            chance.choice((None, 0, 5, 0xFFFFFFFF)),
            chance.random() < 0.5,
        )

    def _mid(self) -> Mid | None:
        if self._chance.random() < 0.7:
            return None
        return Mid(self._chance.choice(("0", "a", "sixteen octets !", "ü")), self._chance.choice((1, 3, 14)))

    def wanted(self) -> Wanted:
        """Return what the house might want of us."""
        return Wanted(*(self._chance.random() < 0.5 for _ in fields(Wanted)))

    def abilities(self) -> Abilities:
        """Return what the house may allow a leg."""
        chance = self._chance
        width, height = chance.choice(((320, 180), (320, 180), (640, 360), (1920, 1080)))
        return Abilities(
            srtp=chance.choice((SrtpPolicy.PREFER, SrtpPolicy.PREFER, SrtpPolicy.OFF, SrtpPolicy.REQUIRE)),
            width=width,
            height=height,
            ice=chance.random() < 0.15,
        )

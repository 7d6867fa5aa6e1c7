"""Descriptions of browsers with a part replaced: lines that the grammar allows and that no browser writes."""

from __future__ import annotations

import random
from collections.abc import Callable

VALUES: dict[str, tuple[str, ...]] = {
    "m": (
        "audio 9 UDP/TLS/RTP/SAVPF 0",
        "audio 0 UDP/TLS/RTP/SAVPF 0 0 0",
        "video 9 UDP/TLS/RTP/SAVPF 96",
        "video 65535 RTP/SAVP 127 96 0",
        "text 9 RTP/AVP 98",
        "application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "application 9 DTLS/SCTP 5000",
        "application 9 TCP/DTLS/SCTP webrtc-datachannel x",
        "image 0 udptl t38",
        "audio 9/2 UDP/TLS/RTP/SAVPF 111",
    ),
    "c": ("IN IP4 0.0.0.0", "IN IP6 ::", "IN IP4 192.0.2.1/127/3", "IN IP4 x", "IN IP6 fe80::1%eth0"),
    "b": ("AS:0", "TIAS:0", "TIAS:1", "AS:1000000000", "TIAS:999999999999", "X-Y:1", "RS:0"),
    "t": ("0 0", "9999999999 1"),
    "mid": ("", "0", "1", "audio", "a" * 32, "a" * 33, "~", "%"),
    "group": ("BUNDLE", "BUNDLE 0", "BUNDLE 2 1 0", "BUNDLE 0 0 1", "BUNDLE x y", "LS 0 1"),
    "setup": ("active", "passive", "actpass", "holdconn", ""),
    "ice-ufrag": ("abcd", "a" * 256, "+/+/", "a", ""),
    "ice-pwd": ("a" * 22, "b" * 256, "/" * 24, "short"),
    "fingerprint": (
        "sha-1 " + ":".join(["AB"] * 20),
        "sha-512 " + ":".join(["ab"] * 64),
        "md5 " + ":".join(["00"] * 16),
        "sha-256 " + ":".join(["00"] * 16),
        "nothing " + ":".join(["00"] * 32),
        "sha-256",
    ),
    "rtpmap": (
        "111 opus/48000/2",
        "111 opus/0",
        "111 opus/48000/0",
        "111 OPUS/1000000/8",
        "0 PCMU/8000",
        "0 VP8/90000",
        "96 VP8/90000",
        "96 H264/0",
        "96 H264/90000/2",
        "96 rtx/90000",
        "97 rtx/0",
        "110 telephone-event/0",
        "126 telephone-event/90000",
        "13 CN/0",
        "9 G722/16000",
        "8 PCMA/1/8",
        "127 x/y",
        "102 H264",
    ),
    "fmtp": (
        "96 apt=96",
        "97 apt=97",
        "97 apt=96;apt=97",
        "97 rtx-time=3000",
        "111 maxplaybackrate=0;maxaveragebitrate=0;stereo=7",
        "111 maxaveragebitrate=99999999999999;minptime=-1;ptime=0",
        "111 useinbandfec=x",
        "102 packetization-mode=9;profile-level-id=zzzzzz",
        "102 profile-level-id=000000;packetization-mode=1",
        "102 profile-level-id=ffffff;packetization-mode=1;max-fs=0;max-mbps=0;max-br=0",
        "102 profile-level-id=42e0ff;packetization-mode=1;max-fs=99999999999;max-mbps=9999999999",
        "102 profile-level-id=42e01f;packetization-mode=;sprop-parameter-sets=,,,",
        "96 max-fs=0;max-fr=0",
        "96 max-fs=-1;max-fr=x",
        "96 max-fs=1;max-fr=1",
        "110 0-",
        "110 65535",
        "126",
        "* x",
    ),
    "rtcp-fb": ("* nack", "* nack pli", "96 goog-remb", "96 ccm", "200 nack", "96", "* transport-cc", "96 ccm tmmbr"),
    "ssrc": ("0 cname:x", "4294967295 cname:", "1 cname:" + "x" * 300, "1", "4294967296 cname:x", "1 msid:a b"),
    "ssrc-group": ("FID 1", "FID 0 0", "SIM 1 2 3", "FID 1 2 3"),
    "ptime": ("0", "1", "1000", "20.5", "10", "x", "120"),
    "maxptime": ("0", "3", "99999"),
    "extmap": ("0 x", "15 urn:ietf:params:rtp-hdrext:sdes:mid", "256 a", "1/sendonly a", "x"),
    "candidate": (
        "1 1 udp 2122194687 127.0.0.1 44835 typ host",
        "1 1 udp 1 127.0.0.1 0 typ host",
        "1 2 udp 1 127.0.0.1 9 typ srflx raddr 0.0.0.0 rport 0",
        "1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "1 0 udp 4294967295 ff02::1 65535 typ relay",
        "1 256 tls 0 0.0.0.0 1 typ x",
        "1 1 udp 5 255.255.255.255 1 typ host",
        "1 1 udp 5 nobody.local 1 typ host",
        "a/b+ 1 UDP 5 fe80::1 1 typ prflx generation 0 network-cost 999 ufrag x",
    ),
    "content": ("slides", "main", "slides,main", "", "x"),
    "sctp-port": ("0", "1", "65535", "65536", "x"),
    "max-message-size": ("0", "1", "99999999999999"),
    "rtcp": ("9", "9 IN IP4 0.0.0.0", "0", "x"),
    "simulcast": ("send a;b recv c", "x"),
    "rid": ("a send", "b recv pt=96"),
    "msid": ("- -", "a", ""),
}
FLAGS = (
    "sendrecv",
    "sendonly",
    "recvonly",
    "inactive",
    "rtcp-mux",
    "rtcp-rsize",
    "bundle-only",
    "ice-lite",
    "end-of-candidates",
    "extmap-allow-mixed",
)
"""Attributes without a value."""


class SdpGrafts:
    """Makes them, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ways: tuple[Callable[[list[str]], None], ...] = (
            self._other_value,
            self._other_value,
            self._other_value,
            self._left_out,
            self._doubled,
            self._moved,
            self._new,
            self._new,
            self._section_left_out,
            self._section_doubled,
        )

    def graft(self, text: str, times: int = 1) -> str:
        """Return a description with so many things changed."""
        lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
        for _ in range(times):
            if len(lines) > 1:
                self._chance.choice(self._ways)(lines)
        return "\r\n".join(lines) + "\r\n"

    def _at(self, lines: list[str]) -> int:
        return self._chance.randrange(1, len(lines))

    def _other_value(self, lines: list[str]) -> None:
        kind = self._chance.choice([_kind(line) for line in lines[1:]])  # rare kinds as often as frequent ones
        at = self._chance.choice([at for at, line in enumerate(lines) if at and _kind(line) == kind])
        same = [line for line in lines if _kind(line) == kind]
        others = [*(_line(kind, value) for value in VALUES.get(kind, ())), *same]
        lines[at] = self._chance.choice([*others, *(f"a={flag}" for flag in FLAGS)] if kind in FLAGS else others)

    def _left_out(self, lines: list[str]) -> None:
        del lines[self._at(lines)]

    def _doubled(self, lines: list[str]) -> None:
        at = self._at(lines)
        lines[at:at] = [lines[at]] * self._chance.choice([1, 2, 40])

    def _moved(self, lines: list[str]) -> None:
        line = lines.pop(self._at(lines))
        lines.insert(self._chance.randrange(1, len(lines) + 1), line)

    def _new(self, lines: list[str]) -> None:
        kind = self._chance.choice([*VALUES, *FLAGS])
        line = f"a={kind}" if kind in FLAGS else _line(kind, self._chance.choice(VALUES[kind]))
        lines.insert(self._at(lines), line)

    def _section_left_out(self, lines: list[str]) -> None:
        begin, end = self._section(lines)
        del lines[begin:end]

    def _section_doubled(self, lines: list[str]) -> None:
        begin, end = self._section(lines)
        section = lines[begin:end]
        if self._chance.random() < 0.7:
            mid = f"a=mid:n{self._chance.randrange(100)}"
            section = [mid if line.startswith("a=mid:") else line for line in section]
        lines[end:end] = section

    def _section(self, lines: list[str]) -> tuple[int, int]:
        begins = [at for at, line in enumerate(lines) if line.startswith("m=")]
        if not begins:
            return len(lines), len(lines)
        begin = self._chance.choice(begins)
        return begin, next((at for at in begins if at > begin), len(lines))


def _kind(line: str) -> str:
    return line[2:].partition(":")[0] if line.startswith("a=") else line[:1]


def _line(kind: str, value: str) -> str:
    return f"{kind}={value}" if len(kind) == 1 else f"a={kind}:{value}"

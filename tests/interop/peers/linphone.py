"""linphone: a softphone with Opus, from Debian's linphone-cli; sound from and into files.

Its own WAV files take the place of a sound card. It echoes nothing and suppresses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import hearing
import marks
import numpy as np
from peers.program import Program

from gateway.bench.ports import DGRAM, STREAM, free_port, free_row, until_bound
from gateway.bench.sound import Samples

HEADER = 44
"""Octets before the sound in its WAV files, which stand empty as long as the call goes on."""
RATE = 48_000
"""Hz of its sound from and into files."""

_CONFIG = """\
[sip]
sip_port={udp}
sip_tcp_port={tcp}
sip_tls_port={tls}
contact="{name}" <sip:{user}@127.0.0.1>
guess_hostname=0
use_ipv6=0
ipv6_migration_done=1
register_only_when_network_is_up=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
verify_server_certs=0
verify_server_cn=0
use_info=0
inc_timeout=30
keepalive_period=30000

[net]
bind_address=127.0.0.1
dns_srv_enabled=0
mtu=1300
nat_policy_ref=here

[nat_policy_0]
ref=here
protocols={protocols}

[rtp]
audio_rtp_port={rtp}
audio_jitt_comp=60

[sound]
echocancellation=0
echolimiter=0
noise_gate=0
agc=0
mic_gain_db=0.000000
playback_gain_db=0.000000

[video]
enabled=0
capture=0
display=0

[misc]
store_friends=0
log_collection_upload=0

[audio_codec_0]
mime=opus
rate=48000
channels=2
enabled=1

[audio_codec_1]
mime=PCMU
rate=8000
enabled={others}

[audio_codec_2]
mime=PCMA
rate=8000
enabled={others}
"""


class Linphone(Program):
    """One linphonec; `secure` asks for SDES-SRTP and takes no call without, dtls likewise for DTLS-SRTP.

    ice lets it speak ICE.
    """

    def __init__(
        self,
        mark: marks.Mark,
        directory: Path,
        transport: str = "udp",
        secure: bool = False,
        dtls: bool = False,
        ice: bool = False,
    ) -> None:
        super().__init__(f"linphone {mark.name}")
        self.mark, self.transport, self.secure = mark, transport, secure
        self.directory = directory / f"linphone-{mark.name}"
        self.directory.mkdir()
        self.dtls, self.ice = dtls, ice
        self.recording = self.directory / "heard.wav"

    async def begin(self, others: bool = False) -> None:
        """Write its configuration and start it; others adds G.711 behind Opus."""
        config = self.directory / "linphonerc"
        kind = DGRAM if self.transport == "udp" else STREAM
        port = free_port(kind)
        config.write_text(
            _CONFIG.format(
                udp=port if self.transport == "udp" else 0,
                tcp=port if self.transport == "tcp" else 0,
                tls=port if self.transport == "tls" else 0,
                rtp=free_row((DGRAM,), (DGRAM,)),
                name=self.mark.name,
                user=self.mark.name.lower(),
                encryption="dtls" if self.dtls else "srtp" if self.secure else "none",
                mandatory=int(self.secure or self.dtls),
                protocols="ice" if self.ice else "",
                others=int(others),
            )
        )
        for folder in (".local/share/linphone", "linphone"):
            (self.directory / folder).mkdir(parents=True)
        voice = marks.voice_file(self.directory, self.mark, rate=16000)
        folders = {"XDG_DATA_HOME": self.directory, "XDG_CONFIG_HOME": self.directory, "XDG_CACHE_HOME": self.directory}
        environment = {name: str(path) for name, path in folders.items()}
        command = ["linphonec", "-c", str(config), "-d", "0"]
        await self.start(command, self.directory, environment)
        await self.expect("linphonec> ", 30)
        await until_bound(port, kind)  # its listening point opens some time after the prompt
        for line in ("soundcard use files", f"record {self.recording}", f"play {voice}"):
            await self.write(line)
            await asyncio.sleep(0.2)
        self._voice = voice

    async def dial(self, address: str) -> None:
        """Call an address and wait until the call stands. Raises TimeoutError."""
        await self.write(f"call {address}")
        await self.expect(r"connected|Media streams established", 30)
        await self.write(f"play {self._voice}")

    async def hang_up(self) -> None:
        """End the call."""
        await self.write("terminate")
        await asyncio.sleep(0.3)

    async def quit(self) -> None:
        """Leave the program, which ends the call too."""
        if self.running:
            await self.write("quit")
            with contextlib.suppress(TimeoutError):
                await self.wait(5)
        await self.stop()

    def heard(self) -> tuple[Samples, int]:
        """Return all that it has heard until now, and the sampling rate; it writes the header when the call ends."""
        data = self.recording.read_bytes() if self.recording.exists() else b""
        if data[:4] == b"RIFF":
            return hearing.read_wav(self.recording)
        return np.frombuffer(data[HEADER : len(data) // 2 * 2], "<i2"), RATE

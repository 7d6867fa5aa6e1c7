"""baresip: a SIP terminal with sound and H.264 picture, from Debian's baresip-core and baresip-ffmpeg.

Its sound comes from a WAV file and its picture from an MP4 file in a loop. What it hears is written by its sndfile
module, behind its own decoder; what it sees is saved by its snapshot module, as PNG, behind its own decoder.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import hearing
import marks
import seeing
from peers.program import Program, free_sip_port

from gateway.bench.sound import Samples

MODULES = Path("/usr/lib/baresip/modules")


class Baresip(Program):
    """One baresip with one account; `secure` makes SRTP mandatory (SDES), transport is udp, tcp or tls.

    dtls lets it encrypt by DTLS-SRTP, ice speak ICE; without mux RTCP has a port of its own.
    registrar is the port of 127.0.0.1 where it registers, and its password; None: it does not. certificate is a PEM
    file with chain and key, with which it takes calls by TLS on the port behind its own.
    """

    def __init__(
        self,
        mark: marks.Mark,
        directory: Path,
        transport: str = "udp",
        secure: bool = False,
        video: bool = True,
        registrar: tuple[int, str] | None = None,
        dtls: bool = False,
        ice: bool = False,
        mux: bool = True,
        certificate: Path | None = None,
    ) -> None:
        super().__init__(f"baresip {mark.name}")
        self.mark, self.transport, self.secure, self.video = mark, transport, secure, video
        self.directory = directory / f"baresip-{mark.name}"
        self.directory.mkdir()
        self.port = free_sip_port()
        self.registrar = registrar
        self.dtls, self.ice, self.mux = dtls, ice, mux
        self.certificate = certificate
        self._pictures = 0
        self._closed = 0

    def configure(self, codecs: str = "PCMU/8000/1", answer: bool = False) -> None:
        """Write its configuration directory; codecs is one audio codec as name/rate/channels."""
        _, rate, channels = codecs.split("/")
        wave = marks.voice_file(self.directory, self.mark, rate=int(rate), channels=int(channels))
        modules = ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp"]
        modules += ["dtls_srtp"] * self.dtls + ["stun", "turn", "ice"] * self.ice
        modules += ["plc"] * (channels == "1")  # it conceals losses, but knows one channel only
        lines = [
            "poll_method epoll",
            f"sip_listen 127.0.0.1:{self.port}",
            "call_local_timeout 30",
            "call_max_calls 4",
            f"audio_source aufile,{wave}",
            "audio_player aubridge,nowhere",
            "audio_alert aubridge,nowhere",
            "audio_level no",
            "rtp_tos 0",
            f"rtcp_mux {'yes' if self.mux else 'no'}",
            "jitter_buffer_delay 2-10",
            "rtp_stats no",
            "net_interface 127.0.0.1",
            f"snd_path {self.directory}",
            f"module_path {MODULES}",
        ]
        if self.certificate is not None:
            lines.append(f"sip_certificate {self.certificate}")
        if self.video:
            modules += ["avcodec", "avformat", "fakevideo", "snapshot", "swscale"]
            picture = marks.clip_file(self.directory, self.mark)
            lines += [
                f"video_source avformat,{picture}",
                "video_display fakevideo,nil",
                "video_size 640x360",
                "video_bitrate 800000",
                f"video_fps {marks.FRAME_RATE}",
                "video_fullscreen no",
                "videnc_format yuv420p",
                "avcodec_h264enc libx264",
                "avcodec_h264dec h264",
            ]
        lines += [f"module {name}.so" for name in [*modules, "stdio"]]
        lines += ["module_tmp uuid.so", "module_tmp account.so", "module_app menu.so"]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        parameters = [f"audio_codecs={codecs}", "regint=0", f"answermode={'auto' if answer else 'manual'}"]
        parameters += [f"video_codecs={'H264' if self.video else 'none'}"]
        if self.secure:
            parameters.append("mediaenc=srtp-mand")
        if self.dtls:
            parameters.append("mediaenc=dtls_srtp")
        if self.ice:
            parameters.append("medianat=ice")
        host = "127.0.0.1"
        if self.registrar is not None:
            port, password = self.registrar
            host += f":{port}"
            parameters[parameters.index("regint=0")] = "regint=60"
            parameters.append(f"auth_pass={password}")
        account = f'"{self.mark.name}" <sip:{self.mark.name.lower()}@{host};transport={self.transport}>'
        (self.directory / "accounts").write_text(";".join([account, *parameters]) + "\n")
        (self.directory / "contacts").write_text("")

    async def begin(self) -> None:
        """Start it."""
        await self.start(["baresip", "-f", str(self.directory), "-p", str(self.directory)], self.directory)
        await self.expect("baresip is ready", 30)

    async def dial(self, address: str) -> None:
        """Call an address and wait until the call stands. Raises TimeoutError."""
        await self.write(f"/dial {address}")
        await self.expect(r"Call established", 30)

    async def hang_up(self) -> None:
        """End the call."""
        await self.write("/hangup")
        await asyncio.sleep(0.3)

    def heard(self) -> tuple[Samples, int]:
        """Return all that it has heard until now, and the sampling rate."""
        recordings = sorted(self.directory.glob("dump-*-dec.wav"), key=os.path.getmtime)
        return hearing.read_wav(recordings[-1])

    async def sees(self) -> set[int]:
        """Return the codes of all that it sees at the moment."""
        self._pictures += 1
        path = self.directory / f"seen-{self._pictures}.png"
        await self.write(f"/snapshot_recv {path}")
        for _ in range(60):
            await asyncio.sleep(0.1)
            if path.exists() and path.stat().st_size > 100:
                await asyncio.sleep(0.3)
                with suppress(SyntaxError, OSError):  # it may still be writing, on a busy machine for long
                    return seeing.in_image(path)
        return set()

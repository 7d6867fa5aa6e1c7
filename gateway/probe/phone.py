"""A SIP phone on PJSUA2: one account, a few calls, sound from and into arrays, no sound card.

PJSUA2 is used in one thread, and polled: its own worker threads would call Python in the midst of anything. It can end
the whole process by an assertion, so whoever uses this does it in a process of its own. What it wants: a null sound
device that never closes (each call would open one otherwise), each information object kept in a variable before its
members are read, and every call dropped before the endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pjsua2 as pj

from gateway.probe.analysis import Samples

RATE = 16000
"""Hz of the phone's own sound; PJSUA2 brings it to each codec's."""
FRAME = RATE // 50
POLL = 10
"""ms for which PJSUA2 waits for something to happen, at most."""
SETTLE = 0.3
"""Seconds in which the last answers leave when the phone is closed."""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """One phone. address is what it binds and names; registrar host[:port], empty: it does not register.

    reliable asks for reliable provisional responses (RFC 3262), timers for session timers (RFC 4028): off, optional or
    required; session is the interval in seconds, srtp off, optional or required. log is PJSUA2's own level.
    """

    address: str
    transport: str = "udp"
    user: str = "probe"
    host: str = ""
    password: str = field(default="", repr=False)
    registrar: str = ""
    srtp: str = "off"
    reliable: str = "off"
    timers: str = "optional"
    session: int = 1800
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722")
    log: int = 0
    agent: str = "Roombridge probe"


class Sound(pj.AudioMediaPort):  # type: ignore[misc]
    """Plays what is put into it, then silence; keeps all that comes. Both count from the call's first frame on."""

    def __init__(self) -> None:
        super().__init__()
        form = pj.MediaFormatAudio()
        form.init(pj.PJMEDIA_FORMAT_PCM, RATE, 1, 20_000, 16)
        self.createPort("sound", form)
        self._waiting = np.zeros(0, np.int16)
        self._kept: list[bytes] = []
        self.played = 0
        """Frames of 20 ms that were asked for."""

    def play(self, samples: Samples) -> float:
        """Send these samples once what was put in before is out; return when they begin, in seconds of `heard`."""
        begins = self.played + len(self._waiting) / FRAME
        self._waiting = np.concatenate((self._waiting, samples))
        return begins / 50

    def stop(self) -> None:
        """Send nothing more."""
        self._waiting = np.zeros(0, np.int16)

    def heard(self) -> Samples:
        """Return all that came."""
        return np.frombuffer(b"".join(self._kept), np.int16)

    @property
    def now(self) -> float:
        """Seconds of sound that were kept."""
        return len(self._kept) / 50

    def onFrameRequested(self, frame: Any) -> None:  # noqa: N802
        """Give the next 20 ms out."""
        out, self._waiting = self._waiting[:FRAME], self._waiting[FRAME:]
        if len(out) < FRAME:
            out = np.concatenate((out, np.zeros(FRAME - len(out), np.int16)))
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = pj.ByteVector(out.tobytes())
        frame.size = 2 * FRAME
        self.played += 1

    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802
        """Keep 20 ms."""
        data = bytes(frame.buf) if frame.type == pj.PJMEDIA_FRAME_TYPE_AUDIO else b""
        self._kept.append(data if len(data) == 2 * FRAME else bytes(2 * FRAME))


class PhoneCall(pj.Call):  # type: ignore[misc]
    """One call and its sound. status and reason are those of the last response; keys what the peer pressed."""

    def __init__(self, account: PhoneAccount, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.sound = Sound()
        self.began = time.monotonic()
        self.answered: float | None = None
        self.early = False
        self.over = False
        self.active = False
        self.held = False
        self.status = 0
        self.reason = ""
        self.keys = ""
        self.transfer: list[int] = []
        self.states: list[str] = []

    def onCallState(self, prm: Any) -> None:  # noqa: N802
        """Note how far the call is."""
        info = self.getInfo()
        self.status, self.reason = info.lastStatusCode, info.lastReason
        self.states.append(info.stateText)
        if info.state == pj.PJSIP_INV_STATE_EARLY:
            self.early = True
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.answered = time.monotonic()
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.over = True

    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802
        """Join the phone's sound and the call's."""
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            self.active = media.status == pj.PJSUA_CALL_MEDIA_ACTIVE
            self.held = media.status in (pj.PJSUA_CALL_MEDIA_REMOTE_HOLD, pj.PJSUA_CALL_MEDIA_LOCAL_HOLD)
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                far = self.getAudioMedia(index)
                self.sound.startTransmit(far)
                far.startTransmit(self.sound)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        """Note a key that the peer pressed."""
        self.keys += prm.digit

    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        """Note how a transfer that we asked for goes on."""
        self.transfer.append(prm.statusCode)

    def press(self, digits: str, by_info: bool = False) -> None:
        """Press keys, as telephone events or by INFO."""
        wanted = pj.CallSendDtmfParam()
        wanted.digits = digits
        wanted.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if by_info else pj.PJSUA_DTMF_METHOD_RFC2833
        wanted.duration = 200
        self.sendDtmf(wanted)

    @property
    def connected(self) -> bool:
        """Whether it is answered and goes on."""
        return self.answered is not None and not self.over


class PhoneAccount(pj.Account):  # type: ignore[misc]
    """Who the phone is."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.reason = ""
        self.registered = False
        self.on_call: Callable[[int], None] | None = None

    def onRegState(self, prm: Any) -> None:  # noqa: N802
        """Note what a registrar said."""
        self.status, self.reason = prm.code, prm.reason
        self.registered = prm.code // 100 == 2 and prm.expiration > 0

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        """Hand a call on; nobody minds it otherwise, and PJSUA2 hangs it up with its object."""
        if self.on_call is not None:
            self.on_call(prm.callId)


class Softphone:
    """The phone. Raises pj.Error where PJSUA2 refuses."""

    def __init__(self, settings: PhoneSettings) -> None:
        self.settings = settings
        self.calls: list[PhoneCall] = []
        self._endpoint = pj.Endpoint()
        self._endpoint.libCreate()
        self._endpoint.libInit(_library(settings))
        self._endpoint.audDevManager().setNullDev()
        self._endpoint.transportCreate(_KINDS[settings.transport], _local(settings))
        self._endpoint.libStart()
        for codec in self._endpoint.codecEnum2():
            name = codec.codecId.partition("/")[0]
            wanted = settings.codecs.index(name) if name in settings.codecs else None
            self._endpoint.codecSetPriority(codec.codecId, 0 if wanted is None else 200 - wanted)
        self.account = PhoneAccount()
        self.account.on_call = self._called
        self.account.create(_identity(settings))

    def _called(self, call_id: int) -> None:
        self.calls.append(PhoneCall(self.account, call_id))

    def poll(self) -> None:
        """Let PJSUA2 work for a moment."""
        self._endpoint.libHandleEvents(POLL)

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Let PJSUA2 work until something is so; False if it is not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.poll()
        return True

    def uri(self, user: str, host: str) -> str:
        """Return an address with our transport in it (RFC 3261 §19.1.1)."""
        return f"sip:{user}@{host}" + _suffix(self.settings.transport)

    def dial(self, target: str) -> PhoneCall:
        """Call `sip:USER@HOST[:PORT]` by our transport."""
        call = PhoneCall(self.account)
        self.calls.append(call)
        call.makeCall(target + _suffix(self.settings.transport), pj.CallOpParam(True))
        return call

    def close(self) -> None:
        """Hang everything up and end PJSUA2. No call may be held anywhere by now: it would outlive PJSUA2."""
        self._hang_up()
        self.calls.clear()
        self.account.shutdown()
        self._endpoint.libDestroy()

    def _hang_up(self) -> None:
        # All of them: a call that took another's place (Replaces) is PJSUA's own, and ending PJSUA with it up crashes.
        self._endpoint.hangupAllCalls()
        self.wait(lambda: not any(call.isActive() for call in self.calls), 2.0)
        self.wait(lambda: False, SETTLE)


_KINDS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
_SRTP = {"off": pj.PJMEDIA_SRTP_DISABLED, "optional": pj.PJMEDIA_SRTP_OPTIONAL, "required": pj.PJMEDIA_SRTP_MANDATORY}
_RELIABLE = {
    "off": pj.PJSUA_100REL_NOT_USED,
    "optional": pj.PJSUA_100REL_OPTIONAL,
    "required": pj.PJSUA_100REL_MANDATORY,
}
_TIMERS = {
    "off": pj.PJSUA_SIP_TIMER_INACTIVE,
    "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
    "required": pj.PJSUA_SIP_TIMER_REQUIRED,
    "always": pj.PJSUA_SIP_TIMER_ALWAYS,
}


def _suffix(transport: str) -> str:
    return "" if transport == "udp" else f";transport={transport}"


def _library(settings: PhoneSettings) -> Any:
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.userAgent = settings.agent
    config.medConfig.clockRate = RATE
    config.medConfig.sndClockRate = RATE
    config.medConfig.audioFramePtime = 20
    config.medConfig.ptime = 20
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    config.medConfig.sndAutoCloseTime = -1
    config.logConfig.level = config.logConfig.consoleLevel = settings.log
    return config


def _local(settings: PhoneSettings) -> Any:
    config = pj.TransportConfig()
    config.port = 0
    config.boundAddress = config.publicAddress = settings.address
    return config


def _identity(settings: PhoneSettings) -> Any:
    config = pj.AccountConfig()
    host = settings.host or settings.address
    config.idUri = f"sip:{settings.user}@{host}"
    if settings.password:
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", settings.user, 0, settings.password))
    if settings.registrar:
        config.regConfig.registrarUri = f"sip:{settings.registrar}" + _suffix(settings.transport)
        config.regConfig.retryIntervalSec = 0
    config.mediaConfig.transportConfig.boundAddress = settings.address
    config.mediaConfig.transportConfig.publicAddress = settings.address
    config.mediaConfig.transportConfig.port = 0
    config.mediaConfig.srtpUse = _SRTP[settings.srtp]
    config.mediaConfig.srtpSecureSignaling = 0
    config.callConfig.prackUse = _RELIABLE[settings.reliable]
    config.callConfig.timerUse = _TIMERS[settings.timers]
    config.callConfig.timerSessExpiresSec = settings.session
    config.callConfig.timerMinSESec = min(90, settings.session)
    return config

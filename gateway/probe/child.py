"""The process that places the test call: options as JSON on its input, reports as JSON lines on its output.

The report is printed after each step, so that what was found stays known if PJSUA2 ends the process. Its own words go
to standard error.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import IO

import pjsua2 as pj

from gateway.bench import sound
from gateway.probe.analysis import confirmed_keys, find_tone, loudness
from gateway.probe.options import BadTarget, ProbeOptions, Report, read_target
from gateway.probe.phone import RATE, PhoneCall, PhoneSettings, Softphone
from transcode.echo import ECHO_DELAY

LEVEL = 0.25
"""Amplitude of the tone as a share of full scale: -12 dB, as loud as speech at its peaks."""
TONE_LEVEL_DB = -12.0
LEAD = 0.4
"""Seconds from the answer to the tone: a jitter buffer fills, and a phone's first packets open a firewall."""
TAIL = 0.8
"""Seconds for which the echo of the tone's end is waited for, beyond the room's own delay."""
KEY_TIME = 1.0
"""Seconds that a key takes, as a rule: the press and both tones 0.5 s, and the way there and back."""
KEY_PATIENCE = 5.0
"""Seconds for which its confirmation is waited for: on a busy machine, or behind a long jitter buffer."""
KEY_PRESSES = 2
"""How often it is pressed: people press again, too, where a tone was cut up."""
KEY_LOOK = 0.25
"""Seconds between two looks for it."""
KEYS = {"rfc4733": "5", "info": "8"}
"""Which key is sent by which way: two of different rows, so that none is taken for the other."""
LEAST_TONE = 1.5


class Probe:
    """One test call."""

    def __init__(self, options: ProbeOptions, out: IO[str]) -> None:
        self.options = options
        self.report = Report(options.target, options.transport)
        self._out = out

    def tell(self) -> None:
        """Print the report as it is now."""
        self._out.write(json.dumps(self.report.plain()) + "\n")
        self._out.flush()

    def run(self) -> None:
        """Register if asked, call, listen, press keys, hang up."""
        options = self.options
        target, host = read_target(options.target)
        phone = Softphone(
            PhoneSettings(
                address=local_address(host),
                transport=options.transport,
                user=options.user or "probe",
                host=host,
                password=options.password,
                registrar=options.registrar,
                srtp="required" if options.srtp else "off",
                log=int(os.environ.get("ROOMBRIDGE_PROBE_LOG", "0")),
            )
        )
        try:
            if self._registers(phone):
                self._call(phone, target)
        finally:
            self.tell()
            phone.close()

    def _registers(self, phone: Softphone) -> bool:
        """Register if that is asked; False if it fails."""
        if not self.options.registrar:
            return True
        account, report = phone.account, self.report
        phone.wait(lambda: account.status >= 200, self.options.timeout)
        report.registered = account.registered
        if not account.registered:
            report.status, report.reason = account.status, account.reason
        self.tell()
        return account.registered

    def _call(self, phone: Softphone, target: str) -> None:
        """Place the call; its object is gone when this returns, as it has to be before the phone is."""
        report, call = self.report, phone.dial(target)
        phone.wait(lambda: call.over or call.answered is not None, self.options.timeout)
        report.status, report.reason = call.status, call.reason
        if call.answered is not None:
            report.called, report.setup = True, round(1000 * (call.answered - call.began), 1)
            self.tell()
            if phone.wait(lambda: call.active or call.over, 2.0):
                self._listen(phone, call)

    def _listen(self, phone: Softphone, call: PhoneCall) -> None:
        """Send the tone, then the keys, and note what comes back."""
        options, report = self.options, self.report
        ours = call.sound
        phone.wait(lambda: call.over, LEAD)
        length = max(LEAST_TONE, options.duration - LEAD - ECHO_DELAY - TAIL - len(KEYS) * KEY_TIME)
        began = ours.play(sound.tone(options.tone, length, RATE, LEVEL))
        report.tone_sent = TONE_LEVEL_DB
        phone.wait(lambda: call.over, length + ECHO_DELAY + TAIL)
        heard = ours.heard()
        found = find_tone(heard[round(began * RATE) :], RATE, options.tone, length)
        report.tone_heard = found is not None
        if found is not None:
            report.tone_level, report.tone_frequency = round(found.level, 1), round(found.frequency, 1)
            report.tone_whole, report.echo_delay = round(found.whole, 3), round(1000 * found.began, 1)
        for way, key in KEYS.items():
            if not call.over:
                report.keys[way] = self._understood(phone, call, way, key)
        if call.over:
            report.status, report.reason = call.status, call.reason
            report.faults.append(f"the call was ended by the other side: {call.status} {call.reason}")
            return
        self._count(call)
        if found is None and report.packets_received:
            report.tone_level = round(loudness(heard), 1)
        report.complete = True

    def _understood(self, phone: Softphone, call: PhoneCall, way: str, key: str) -> bool:
        """Press a key until it is confirmed; where no tone came back nothing is worth waiting for."""
        hopeful = self.report.tone_heard
        for _ in range(KEY_PRESSES if hopeful else 1):
            since = round(call.sound.now * RATE)
            call.press(key, by_info=way == "info")
            for _ in range(round((KEY_PATIENCE if hopeful else KEY_TIME) / KEY_LOOK)):
                if phone.wait(lambda: call.over, KEY_LOOK):
                    return False
                if key in confirmed_keys(call.sound.heard()[since:], RATE):
                    return True
        return False

    def _count(self, call: PhoneCall) -> None:
        """Take PJSUA2's counters."""
        report = self.report
        stream = call.getStreamInfo(0)
        report.codec = f"{stream.codecName}/{stream.codecClockRate}"
        report.encryption = "SRTP" if stream.proto & pj.PJMEDIA_TP_PROFILE_SRTP else ""
        statistics = call.getStreamStat(0)
        rtcp = statistics.rtcp
        received, sent, trip = rtcp.rxStat, rtcp.txStat, rtcp.rttUsec
        report.packets_received, report.packets_sent = received.pkt, sent.pkt
        if received.pkt:
            report.loss_in = round(received.loss / (received.pkt + received.loss), 4)
            jitter = received.jitterUsec
            report.jitter = round(jitter.mean / 1000, 2)
        if sent.updateCount and sent.pkt:  # the peer's reports tell of what we sent
            report.loss_out = round(sent.loss / sent.pkt, 4)
        if trip.n:
            report.round_trip = round(trip.mean / 1000, 2)


def local_address(host: str) -> str:
    """Return our own IPv4 address towards a host; the one that it is told. Raises BadTarget if it has no address."""
    name = host.partition(":")[0]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((name, 9))  # sends nothing; the routing table is asked
            return str(asking.getsockname()[0])
    except OSError as error:
        raise BadTarget(f"{name} cannot be reached: {error.strerror or error}") from None


def main() -> None:
    """Place one call."""
    # PJSUA2 prints to standard output before its log can be turned off; the report must stand alone there.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    options = ProbeOptions.read(json.loads(sys.stdin.read()))
    probe = Probe(options, out)
    try:
        probe.run()
    except BadTarget as error:
        probe.report.faults.append(str(error))
        probe.tell()
    except pj.Error as error:
        probe.report.faults.append(f"PJSUA2: {error.title}: {error.reason}")
        probe.tell()
    out.flush()
    # Its objects may be freed in any order when the interpreter ends, which PJSUA2 does not survive.
    os._exit(0)


if __name__ == "__main__":
    main()

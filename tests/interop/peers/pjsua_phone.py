"""The process that a `Pjsua` of the tests runs: a softphone on PJSUA2 that does what it reads, a JSON line each.

Each line names a command and its arguments; each answer is one JSON line. PJSUA2 is worked between them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pjsua2 as pj

from gateway.bench import sound
from gateway.probe.phone import RATE, PhoneCall, PhoneSettings, Softphone

Json = dict[str, Any]
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = ("123", "456", "789", "*0#")


class Worker:
    """The phone, and what may be asked of it."""

    def __init__(self, settings: Json, out: Any) -> None:
        self.phone = Softphone(PhoneSettings(**settings))
        self._out = out

    def serve(self) -> None:
        """Do what is asked until the input ends."""
        os.set_blocking(0, False)
        waiting = b""
        while True:
            self.phone.poll()
            try:
                data = os.read(0, 65536)
            except BlockingIOError:
                continue
            if not data:
                break
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                self._answer(json.loads(line))
        self.phone.close()

    def _answer(self, asked: Json) -> None:
        try:
            answer = COMMANDS[asked.pop("do")](self, **asked) or {}
        except pj.Error as error:
            answer = {"error": f"{error.title}: {error.reason}"}
        self._out.write(json.dumps(answer) + "\n")
        self._out.flush()

    def _call(self, number: int) -> PhoneCall:
        return self.phone.calls[number]

    def dial(self, target: str) -> Json:
        self.phone.dial(target)
        return {"call": len(self.phone.calls) - 1}

    def state(self, call: int) -> Json:
        if call >= len(self.phone.calls):
            return {"there": False}
        one = self._call(call)
        told: Json = {
            "there": True,
            "answered": one.answered is not None,
            "over": one.over,
            "active": one.active,
            "held": one.held,
            "early": one.early,
            "status": one.status,
            "reason": one.reason,
            "transfer": one.transfer,
            "keys": one.keys,
            "codec": "",
        }
        if one.isActive() and one.hasMedia() and (one.active or one.held):
            stream = one.getStreamInfo(0)
            told["codec"] = stream.codecName
        return told

    def account(self) -> Json:
        account = self.phone.account
        return {"registered": account.registered, "status": account.status, "reason": account.reason}

    def register(self, on: bool) -> None:
        self.phone.account.setRegistration(on)

    def answer(self, call: int, status: int) -> None:
        wanted = pj.CallOpParam(True)
        wanted.statusCode = status
        self._call(call).answer(wanted)

    def hang_up(self, call: int) -> None:
        self._call(call).hangup(pj.CallOpParam())

    def play(self, call: int, frequency: float, on: float, period: float, seconds: float) -> None:
        self._call(call).sound.play(sound.bursts(frequency, seconds, on, period, RATE))

    def heard(self, call: int, file: str) -> Json:
        Path(file).write_bytes(self._call(call).sound.heard().tobytes())
        return {"rate": RATE}

    def press(self, call: int, digits: str, by_info: bool) -> None:
        self._call(call).press(digits, by_info)

    def press_tones(self, call: int, digits: str) -> None:
        """Send the tones of these keys (ITU-T Q.23) as a phone without any other way does: 150 ms each, and a pause."""
        pause = np.zeros(RATE * 3 // 20, np.int16)
        for digit in digits:
            row = next(number for number, keys in enumerate(KEYS) if digit in keys)
            pair = ROWS[row], COLUMNS[KEYS[row].index(digit)]
            both = sum(sound.tone(frequency, 0.15, RATE, 0.2) for frequency in pair)
            self._call(call).sound.play(np.concatenate((both, pause)))

    def send_info(self, call: int, kind: str, body: str) -> None:
        wanted = pj.CallSendRequestParam()
        wanted.method = "INFO"
        wanted.txOption.contentType = kind
        wanted.txOption.msgBody = body
        self._call(call).sendRequest(wanted)

    def hold(self, call: int) -> None:
        self._call(call).setHold(pj.CallOpParam(True))

    def resume(self, call: int) -> None:
        wanted = pj.CallOpParam(True)
        wanted.opt.flag = pj.PJSUA_CALL_UNHOLD
        self._call(call).reinvite(wanted)

    def reinvite(self, call: int) -> None:
        self._call(call).reinvite(pj.CallOpParam(True))

    def update(self, call: int) -> None:
        self._call(call).update(pj.CallOpParam(True))

    def refer(self, call: int, target: str) -> None:
        self._call(call).xfer(target, pj.CallOpParam(True))

    def refer_replacing(self, call: int, other: int) -> None:
        self._call(call).xferReplaces(self._call(other), pj.CallOpParam(True))

    def address(self) -> Json:
        """Tell where the phone is reached without a registrar."""
        endpoint = self.phone._endpoint
        info = endpoint.transportGetInfo(endpoint.transportEnum()[0])
        return {"uri": f"sip:{self.phone.settings.user}@{info.localName}"}


COMMANDS: dict[str, Callable[..., Json | None]] = {
    name: member for name, member in vars(Worker).items() if callable(member) and not name.startswith("_")
}


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(json.loads(sys.argv[1]), out)
    out.write('{"ready": true}\n')
    out.flush()
    worker.serve()
    os._exit(0)


if __name__ == "__main__":
    main()

"""linphone with real-time text: Debian's liblinphone, driven through ctypes, as its console has no command for it.

Run as a program: `python linphone_text.py DIRECTORY PORT NAME ADDRESS [bundle]`. It calls the address with sound and
text, with "bundle" both on one transport by ICE and DTLS-SRTP,
writes each line of its standard input to the call, and prints "read: LINE" for each line that comes.
"""

from __future__ import annotations

import ctypes
import select
import sys
import time
from ctypes import c_bool, c_int, c_uint32, c_void_p
from pathlib import Path

_CONFIG = """\
[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
contact="{name}" <sip:{user}@127.0.0.1>
guess_hostname=0
use_ipv6=0
ipv6_migration_done=1
register_only_when_network_is_up=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
[net]
bind_address=127.0.0.1
dns_srv_enabled=0
firewall_policy=0
nat_policy_ref={policy}
[video]
enabled=0
capture=0
display=0
[misc]
store_friends=0
log_collection_upload=0
"""
_BUNDLE = """\
[rtp]
bundle=1
[nat_policy_0]
ref=here
protocols=ice
"""
_RUNNING, _OVER = 8, (13, 14, 19)
"""LinphoneCallState: streams run; error, end, released."""
_LINE_END = 0x2028


class Library:
    """The functions of liblinphone that are called here."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("liblinphone.so.10")

    def call(self, name: str, result: type | None, *arguments: object) -> object:
        """Call one function; pointers are given as c_void_p."""
        function = getattr(self._library, f"linphone_{name}")
        function.restype = result
        return function(*arguments)


def main(directory: str, port: str, name: str, address: str, way: str = "") -> int:
    """Call, write and read until the input or the call ends."""
    config = Path(directory) / "linphonerc"
    (Path(directory) / ".local/share/linphone").mkdir(parents=True)
    bundle = way == "bundle"
    settings = _CONFIG.format(
        port=port,
        name=name,
        user=name.lower(),
        encryption="dtls" if bundle else "none",
        mandatory=int(bundle),
        policy="here" if bundle else "",
    )
    config.write_text(settings + (_BUNDLE if bundle else ""))
    lib = Library()
    factory = c_void_p(lib.call("factory_get", c_void_p))
    core = c_void_p(lib.call("factory_create_core_3", c_void_p, factory, str(config).encode(), None, None))
    lib.call("core_enable_realtime_text", c_int, core, c_bool(True))
    lib.call("core_set_use_files", None, core, c_bool(True))
    lib.call("core_start", c_int, core)
    ready = time.monotonic() + 1.5  # its listening point opens some time after the start
    while time.monotonic() < ready:
        lib.call("core_iterate", None, core)
        time.sleep(0.02)
    parameters = c_void_p(lib.call("core_create_call_params", c_void_p, core, None))
    lib.call("call_params_enable_realtime_text", c_int, parameters, c_bool(True))
    lib.call("call_params_enable_video", None, parameters, c_bool(False))
    target = c_void_p(lib.call("factory_create_address", c_void_p, factory, address.encode()))
    call = c_void_p(lib.call("core_invite_address_with_params", c_void_p, core, target, parameters))
    lib.call("call_ref", c_void_p, call)
    room, line, told = None, "", -1
    while True:
        lib.call("core_iterate", None, core)
        state = lib.call("call_get_state", c_int, call)
        if state != told:
            told = state
            print(f"state {state}", flush=True)
        if state in _OVER:
            print("over", flush=True)
            return 0
        if state == _RUNNING and room is None:
            room = c_void_p(lib.call("call_get_chat_room", c_void_p, call))
            print("running", flush=True)
        if room is not None:
            while char := lib.call("chat_room_get_char", c_uint32, room):
                if char == _LINE_END:
                    print(f"read: {line}", flush=True)
                    line = ""
                else:
                    line += chr(char)
        if room is not None and select.select([sys.stdin], [], [], 0)[0]:
            said = sys.stdin.readline()
            if not said:
                lib.call("call_terminate", c_int, call)
                continue
            message = c_void_p(lib.call("chat_room_create_empty_message", c_void_p, room))
            for char in [*map(ord, said.rstrip("\n")), _LINE_END]:
                lib.call("chat_message_put_char", c_int, message, c_uint32(char))
                lib.call("core_iterate", None, core)
                time.sleep(0.03)
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

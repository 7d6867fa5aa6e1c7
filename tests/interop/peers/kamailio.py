"""Kamailio (Debian kamailio, kamailio-tls-modules): the proxy, registrar or edge that stands between us and a phone.

Everything is on the loopback and in memory. It prints a line for each request that it gets, and for each branch of one
that it sends on in a new transaction (not ACK and CANCEL), for tests to read: GOT or RELAY, method, Request-URI, and
route=ROUTE.
"""

from __future__ import annotations

import re
from pathlib import Path

from peers.program import Program, free_sip_port

from gateway.certificates import keep_certificate

HOST = "127.0.0.1"

_MODULES = (
    "kex",
    "corex",
    "tm",
    "sl",
    "rr",
    "pv",
    "maxfwd",
    "textops",
    "siputils",
    "xlog",
    "usrloc",
    "registrar",
    "path",
    "nathelper",
)

# Who called over TLS is called back over its own connection: that is what the alias in its Contact is for.
_ROUTES = """
request_route {
  xlog("L_ALERT", "GOT $rm $ru route=$hdr(Route)\\n");
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("CANCEL")) {
    if (t_check_trans()) route(RELAY);
    exit;
  }
  if (has_totag()) {
    if (loose_route()) {
      if (handle_ruri_alias() == -2) exit;
      route(RELAY);
    }
    if (is_method("ACK")) {
      if (t_check_trans()) route(RELAY);
      exit;
    }
    sl_send_reply("404", "Not here");
    exit;
  }
  t_check_trans();
  if (is_method("REGISTER")) route(REGISTER);
  if (is_method("INVITE|SUBSCRIBE|REFER")) { RECORD add_contact_alias(); }
  if (is_present_hf("Route")) {
    loose_route();
    route(RELAY);
  }
  route(PLACE);
}
route[RELAY] {
  t_on_branch("SAY");
  if (!t_relay()) sl_reply_error();
  exit;
}
branch_route[SAY] {
  xlog("L_ALERT", "RELAY $rm $ru route=$hdr(Route)\\n");
}
"""


class Kamailio(Program):
    """One Kamailio on a free port, the same for UDP and TCP, and on one for TLS.

    upstream is the URI of the gateway; calls go there, and to what is registered here first. fork sends a call to
    further URIs at the same time. edge hands registrations on with Path (RFC 3327); else it is the registrar, and
    asks for password where one is given. strict makes it a strict router (RFC 2543): its Record-Route has no lr.
    """

    def __init__(
        self,
        directory: Path,
        upstream: str,
        fork: tuple[str, ...] = (),
        edge: bool = False,
        strict: bool = False,
        password: str = "",
    ) -> None:
        super().__init__("kamailio")
        self.directory = directory / "kamailio"
        self.directory.mkdir()
        self.upstream, self.fork, self.edge, self.strict, self.password = upstream, fork, edge, strict, password
        self.port = free_sip_port()
        self.tls = self.port + 1
        self.certificate, self._key = keep_certificate(self.directory, [HOST])

    def address(self, transport: str = "udp") -> str:
        """Return host, port and transport as they stand in a URI."""
        return f"{HOST}:{self.tls if transport == 'tls' else self.port};transport={transport}"

    async def begin(self) -> None:
        """Start it and wait until it listens."""
        config = self.directory / "kamailio.cfg"
        config.write_text(self._config())
        command = ["kamailio", "-f", str(config), "-DD", "-E", "-m", "64", "-M", "8", "-w", str(self.directory)]
        await self.start([*command, "-Y", str(self.directory), "-P", str(self.directory / "pid")], self.directory)
        await self.expect("STARTED", 30)

    def got(self, method: str) -> list[str]:
        """Return Request-URI and Route of each request of a method that came."""
        return re.findall(rf"GOT {method} (.*)", self.output)

    def relayed(self, method: str) -> list[str]:
        """Return Request-URI and Route of each branch of a method that was sent on in a new transaction."""
        return re.findall(rf"RELAY {method} (.*)", self.output)

    def _config(self) -> str:
        certificate, key = self.certificate, self._key
        modules = [*_MODULES, "tls", *(("auth",) if self.password else ())]
        lines = [
            "#!KAMAILIO",
            "debug=0",
            "log_stderror=yes",
            "fork=yes",
            "children=2",
            "tcp_children=2",
            "auto_aliases=no",
            "dns=no",
            "rev_dns=no",
            "enable_tls=yes",
            f"listen=udp:{HOST}:{self.port}",
            f"listen=tcp:{HOST}:{self.port}",
            f"listen=tls:{HOST}:{self.tls}",
            *(f'loadmodule "{name}.so"' for name in modules),
            'modparam("usrloc", "db_mode", 0)',
            'modparam("registrar", "default_expires", 600)',
            'modparam("path", "use_received", 1)',
            'modparam("tls", "tls_method", "TLSv1.2+")',
            f'modparam("tls", "certificate", "{certificate}")',
            f'modparam("tls", "private_key", "{key}")',
            'modparam("tls", "verify_certificate", 0)',
            "event_route[core:worker-one-init] {",
            '  xlog("L_ALERT", "STARTED\\n");',
            "}",
        ]
        record = "record_route();"
        if self.strict:
            record = f'insert_hf("Record-Route: <sip:{HOST}:{self.port}>\\r\\n", "Via");'
        routes = _ROUTES.replace("RECORD", record)
        return "\n".join(lines) + routes + self._register() + self._place()

    def _register(self) -> str:
        if self.edge:
            act = f'add_path(); $du = "{self.upstream}"; route(RELAY);'
        else:
            act = 'if (!save("location")) sl_reply_error(); xlog("L_ALERT", "SAVED $tU\\n"); exit;'
        asked = ""
        if self.password:
            asked = f'if (!pv_www_authenticate("kamailio", "{self.password}", "0")) {{\n'
            asked += '    www_challenge("kamailio", "1"); exit;\n  }\n  consume_credentials();\n  '
        return f"route[REGISTER] {{\n  {asked}{act}\n}}\n"

    def _place(self) -> str:
        """Return the route of a new call: to who is registered here, else to us, and to whom it forks."""
        branches = "".join(f'  append_branch("{uri}");\n' for uri in self.fork)
        known = "" if self.edge else '  if (lookup("location")) route(RELAY);\n'
        return f'route[PLACE] {{\n{branches}{known}  $du = "{self.upstream}";\n  route(RELAY);\n}}\n'

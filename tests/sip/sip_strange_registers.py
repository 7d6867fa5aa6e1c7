"""A registrar, and phones that spell their contacts in every way; its tables agree with each other at all times."""

from __future__ import annotations

import random
from dataclasses import replace

from sip_odd_values import NUMBERS, POOL, URIS
from test_sip_registrar import TLS, UDP, Bench

from sip.events import Transport
from sip.parser import Malformed

FLOWS = (
    *(UDP, TLS, replace(UDP, remote_port=9)),
    *(replace(TLS, connection=8), replace(TLS, transport=Transport.WSS, connection=9)),
)
CONTACTS = (
    *["sip:ann@198.51.100.7:5060"] * 8,
    *(
        "sip:Ann@198.51.100.7",
        "sip:ann@198.51.100.7",
        "sip:%61nn@198.51.100.7",
        "sips:ann@h.example",
        "sip:ann@H.EXAMPLE",
    ),
)
MORE = (
    *[";x=1", ";x=2", ";y=1", ";y=2"] * 3,
    *(";transport=tcp", ";transport=TCP", ";ob", ";user=phone", ";maddr=192.0.2.4", "?a=b"),
)


class StrangePhones(Bench):
    """Two accounts whose phones register whatever the grammar allows."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.taken = 0

    def turn(self) -> None:
        """Let one of them register, and at times something else happen."""
        chance = self.chance
        contacts = ["*"] if chance.random() < 0.05 else [self._contact() for _ in range(chance.choice([0, 1, 1, 1, 2]))]
        extra = chance.choice(["", "Supported: outbound, path\r\n"])
        extra += chance.choice(["", "Expires: 0\r\n", f"Expires: {chance.choice(NUMBERS)}\r\n"])
        extra += chance.choice(["", "", f"Path: {chance.choice(POOL['Path'])}\r\n"])
        try:
            reply = self.register(
                *contacts,
                extra=extra,
                flow=chance.choice(FLOWS),
                account=chance.choice(["ann", "bob"]),
                call_id=chance.choice(["a", "b"]),
                vias=chance.choice([1, 1, 2]),
            )
        except (Malformed, UnicodeEncodeError):
            return  # the parser answers that
        self.taken += reply.status == 200
        if chance.random() < 0.2:
            self.now += chance.choice([1, 30, 70, 4_000])
            self.registrar.tick(self.now)
        if chance.random() < 0.05:
            self.registrar.closed(chance.choice(FLOWS))
        self.check()

    def _contact(self) -> str:
        chance = self.chance
        uri = chance.choice([*CONTACTS, chance.choice(URIS)])
        uri += "".join(chance.choice(MORE) for _ in range(chance.choice([0, 1, 1, 2])))
        instance = f';+sip.instance="<urn:uuid:{chance.randrange(2)}>";reg-id={chance.choice(["1", "2", *NUMBERS[:4]])}'
        number = f";expires={chance.choice(NUMBERS)}"
        more = ("", ";expires=0", ";expires=60", ";expires=100", ";q=0.3", number, instance)
        return f"<{uri}>{chance.choice(more)}{chance.choice(more)}"

    def check(self) -> None:
        """Compare the tables."""
        registrar = self.registrar
        entries = {(user, id): one for user, all in registrar._accounts.items() for id, one in all.items()}
        assert len(registrar) == len(entries) == len(self.store.load())
        linked = {key for keys in registrar._by_flow.values() for key in keys}
        assert linked == {key for key, entry in entries.items() if entry.binding.flow is not None}
        assert all(isinstance(entry.binding.ways, list) for entry in entries.values())
        registrar.take()

    def end(self) -> None:
        """Let all be over."""
        self.registrar.tick(self.now + 1_000_000)
        self.check()
        assert not len(self.registrar)
        assert self.registrar.next_timeout() is None

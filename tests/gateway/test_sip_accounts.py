"""Accounts of the configuration and of the database, put together for SIP."""

from __future__ import annotations

from gateway.config import AccountConfig, Config
from gateway.sip_parts import sip_accounts, sip_samples
from gateway.store.tables import StoredAccount
from sip.digest import Algorithm

KEY = "0123456789abcdef" * 2


def test_the_configuration_wins_over_the_database() -> None:
    config = Config(
        accounts=(
            AccountConfig(user="ann", password="secret", display_name="Ann"),
            AccountConfig(user="room", password="secret", protocols=("h323",)),
        )
    )
    stored = [
        StoredAccount("ann", md5=KEY),
        StoredAccount("bob", "Bob", md5=KEY),
        StoredAccount("room", md5=KEY),
        StoredAccount("cleo", md5=KEY, sip=False),
    ]
    ann, bob = sip_accounts(config, stored)
    assert (ann.user, ann.password, ann.display_name) == ("ann", "secret", "Ann")
    assert (bob.user, bob.password, bob.ha1) == ("bob", None, {Algorithm.MD5: KEY})


def test_registrations_are_shown_apart_from_messages() -> None:
    names = {sample.name for sample in sip_samples({"registrations": 3, "registrations_added": 5})}
    assert names == {"sip_registrations", "sip_messages_total"}

"""Accounts: who may register and call as whom, and the hashes that stand for their passwords (RFC 7616 §3.4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sip.digest import HEX_DIGITS, STRENGTH, Algorithm, make_ha1

MAX_ACCOUNTS = 10_000
"""Accounts of one house; each has a few hundred octets, and more belong into a registrar of its own."""


class AccountsUnfit(ValueError):
    """The accounts cannot work together; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account. password, or ha1 by algorithm (lower-case hex) where it is not to be kept in the clear."""

    user: str
    password: str | None = field(default=None, repr=False)
    ha1: Mapping[Algorithm, str] = field(default_factory=dict, repr=False)
    display_name: str = ""


class Accounts:
    """All accounts of one realm, by user; implements `digest_server.Keys`."""

    def __init__(
        self, realm: str, accounts: Iterable[Account] = (), algorithms: Iterable[Algorithm] = STRENGTH
    ) -> None:
        """Take them all. algorithms are those that may be offered.

        Raises AccountsUnfit where two have one user, one has no secret, or no algorithm fits all.
        """
        self.realm = realm
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, dict[Algorithm, str]] = {}
        for account in accounts:
            self._add(account)
        wanted = frozenset(algorithms)
        common = [one for one in STRENGTH if one in wanted and all(one in keys for keys in self._keys.values())]
        if not common:
            raise AccountsUnfit("no digest algorithm fits the hashes of all accounts")
        self.algorithms = tuple(common)
        """What can be offered to everyone, the strongest first: who asks is not known when a challenge is made."""

    def _add(self, account: Account) -> None:
        user = account.user
        if user in self._accounts:
            raise AccountsUnfit(f"two accounts have the user {user}")
        if len(self._accounts) >= MAX_ACCOUNTS:
            raise AccountsUnfit(f"more than {MAX_ACCOUNTS} accounts")
        keys = {one: account.ha1[one].lower() for one in STRENGTH if one in account.ha1}
        if any(len(key) != HEX_DIGITS[one] for one, key in keys.items()):
            raise AccountsUnfit(f"a hash of account {user} has the wrong length")
        if account.password is not None:
            for one in STRENGTH:
                keys.setdefault(one, make_ha1(one, user, self.realm, account.password))
        if not keys:
            raise AccountsUnfit(f"account {user} has neither password nor hash")
        self._accounts[user] = account
        self._keys[user] = keys

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._accounts)

    def __contains__(self, user: object) -> bool:
        return user in self._accounts

    def get(self, user: str) -> Account | None:
        """Return an account, or None."""
        return self._accounts.get(user)

    def users(self) -> frozenset[str]:
        """Return all users."""
        return frozenset(self._accounts)

    def ha1(self, user: str) -> Mapping[Algorithm, str] | None:
        """Return a user's HA1 by algorithm, None where there is no such user."""
        return self._keys.get(user)

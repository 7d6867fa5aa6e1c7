"""Media encryption of one call, as its line decides it: the house's policy, the key agreement, new keys in mid call."""

from __future__ import annotations

from typing import Any

from gateway.reasons import Reason, Refused
from h323.h235.channels import policy_of
from h323.h235.security import MediaSecurity
from h323.h235.updates import read_update, write_update, write_update_ack
from h323.sessions import Sessions
from h323.signalling.call import H323Call
from transcode.media import SrtpPolicy


def answer_keys(core: H323Call, sessions: Sessions) -> None:
    """Answer the caller's offer to encrypt media. Raises Refused where it makes none and must."""
    policy = policy_of(sessions.local)
    security = MediaSecurity(core.rng, policy is SrtpPolicy.REQUIRE)
    if policy is not SrtpPolicy.OFF and security.take_offer(core.facts.body.get("tokens")):
        core.security = sessions.security.security = security
    elif policy is SrtpPolicy.REQUIRE:
        raise Refused(Reason.ENCRYPTION_NEEDED, "the caller offers no encryption of media")


def offer_keys(core: H323Call, sessions: Sessions, fast_start: bool) -> bool:
    """Offer to encrypt the media of a call that we place. False if we do not, so that it may start fast."""
    policy = policy_of(sessions.local)
    if policy is SrtpPolicy.OFF or (policy is SrtpPolicy.PREFER and fast_start):
        return False
    security = MediaSecurity(core.rng, policy is SrtpPolicy.REQUIRE)
    core.security = sessions.security.security = security
    return True


def renew_key(core: H323Call, sessions: Sessions | None, value: Any) -> bool | None:
    """Take a new key from the master, or make one where the slave asks for it; value is a MiscellaneousCommand.

    None if it is about no key, False if the key cannot be taken.
    """
    update = read_update(value)
    if update is None or sessions is None:
        return None
    if update.sync is None:
        sync = sessions.make_new_key(update.channel, update.ours, update.payload_type)
        if sync is not None:
            core.control.send(write_update(update, sync))
        return sync is not None
    if not sessions.take_new_key(update.channel, update.ours, update.sync):
        return False
    core.control.send(write_update_ack(update))
    return True

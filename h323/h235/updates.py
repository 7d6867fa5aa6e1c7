"""New media keys in mid call: encryptionUpdateCommand, its request and its acknowledgement (H.235.6 §8.6.2). Pure.

The master alone makes keys. It tells a new one by the command; the slave acknowledges, or asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from h323.h245.events import Pdu

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyUpdate:
    """A new key, or the wish for one where sync is None.

    channel is a logical channel's number; ours says that we opened it. payload_type is the one
    that the new key is wanted for, None where that is left to the master. direction is as it was written.
    """

    channel: int
    ours: bool
    payload_type: int | None
    sync: Value | None
    direction: Any


def read_update(value: Value) -> KeyUpdate | None:
    """Read a MiscellaneousCommand that a peer sent; None where it is about no key."""
    name, said = value["type"]
    direction = value.get("direction")
    towards = direction[0] if direction is not None else None
    number = value["logicalChannelNumber"]
    if name == "encryptionUpdateCommand":
        # The master tells us, so what goes from slave to master is ours.
        return KeyUpdate(number, towards == "slaveToMaster", None, said["encryptionSync"], direction)
    if name == "encryptionUpdate":
        return KeyUpdate(number, towards == "slaveToMaster", None, said, direction)
    if name == "encryptionUpdateRequest":
        return KeyUpdate(number, towards == "masterToSlave", said.get("synchFlag"), None, direction)
    return None


def _command(update: KeyUpdate, kind: tuple[str, Any]) -> Pdu:
    value = {"logicalChannelNumber": update.channel, "type": kind}
    if update.direction is not None:
        value["direction"] = update.direction
    return ("command", ("miscellaneousCommand", value))


def write_update(update: KeyUpdate, sync: Value) -> Pdu:
    """Return the command that tells the slave the key that it asked for."""
    return _command(update, ("encryptionUpdateCommand", {"encryptionSync": sync}))


def write_update_ack(update: KeyUpdate) -> Pdu:
    """Return the acknowledgement of a key that the master told."""
    assert update.sync is not None
    return _command(update, ("encryptionUpdateAck", {"synchFlag": update.sync["synchFlag"]}))

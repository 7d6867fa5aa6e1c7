"""The HTTP API, version 1: who is registered with us, and how our trunks are."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.web.access import READ, REFUSALS, InOffice


class RegistrationShape(BaseModel):
    """A contact that is registered for an account."""

    account: str
    display_name: str
    contact: str
    transport: str
    source: str = Field(description="Where it came from; empty after a restart, until it registers again")
    seconds: int = Field(description="Seconds until it ends")
    q: float
    agent: str
    path: tuple[str, ...]
    instance: str
    reachable: bool
    protocol: str = Field("sip", description="sip or h323")
    aliases: tuple[str, ...] = Field((), description="What an H.323 endpoint may be called by; a prefix ends in *")


class TrunkShape(BaseModel):
    """A trunk or static peer."""

    name: str
    server: str = Field(description="The server in use, or the first configured one")
    transport: str
    state: str = Field(description="unknown, up or down")
    why: str = Field(description="Why it is down")
    since: int = Field(description="Seconds that it has been in this state")
    registration: str = Field(
        description="idle, trying, registered, refreshing, waiting, leaving or gone; empty for one without registration"
    )
    registered: bool = Field(description="Whether the carrier can call us now by our registration")
    seconds: int = Field(description="Seconds until our registration ends; 0 without one")
    calls: int
    max_calls: int = Field(description="0: no limit")


class RegistrationList(BaseModel):
    """All contacts of our accounts, and all trunks that we register with."""

    registrations: list[RegistrationShape]
    trunks: list[TrunkShape]


class TrunkList(BaseModel):
    """All trunks."""

    trunks: list[TrunkShape]


router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["registrations"])


@router.get("/registrations", dependencies=READ)
async def list_registrations(office: InOffice) -> RegistrationList:
    """List who is registered with us, by account, and the trunks that we register with."""
    book = office.lines
    contacts = book.registrations() if book is not None else ()
    return RegistrationList(
        registrations=[RegistrationShape(**asdict(one)) for one in contacts],
        trunks=[one for one in _trunks(office) if one.registration],
    )


@router.get("/trunks", dependencies=READ)
async def list_trunks(office: InOffice) -> TrunkList:
    """List all trunks and static peers, with their state."""
    return TrunkList(trunks=_trunks(office))


def _trunks(office: InOffice) -> list[TrunkShape]:
    states = office.lines.trunk_states() if office.lines is not None else ()
    return [TrunkShape(**asdict(one)) for one in states]

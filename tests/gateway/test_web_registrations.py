"""Registrations and trunks in the HTTP API."""

from __future__ import annotations

import pytest
from web_house import READ, WebHouse

from sip.adapter_registrations import RegistrationInfo
from sip.trunk import TrunkInfo

ANN = RegistrationInfo(
    "ann", "Ann", "sip:ann@192.0.2.7", "udp", "192.0.2.7:5060", 300, 1.0, "Phone/1", ("<sip:p.example;lr>",), "", True
)
CARRIER = TrunkInfo("carrier", "192.0.2.1:5060", "udp", "down", "503 Full", 7, "waiting", False, 0, 0, 30)
PBX = TrunkInfo("pbx", "192.0.2.2:5060", "tcp", "up", "", 9, "", False, 0, 2, 0)


class Lines:
    def registrations(self) -> tuple[RegistrationInfo, ...]:
        return (ANN,)

    def trunk_states(self) -> tuple[TrunkInfo, ...]:
        return (CARRIER, PBX)


async def get(path: str, token: str | None = READ, **more: object) -> tuple[int, dict]:
    house = WebHouse(False, **more)
    await house.start()
    async with house.client(token) as client:
        answer = await client.get(path)
    await house.stop()
    return answer.status_code, answer.json()


async def test_registered_contacts_and_trunks_that_register_are_listed() -> None:
    status, found = await get("/api/v1/registrations", lines=Lines())
    assert status == 200
    assert [one["account"] for one in found["registrations"]] == ["ann"]
    assert found["registrations"][0]["path"] == ["<sip:p.example;lr>"]
    assert [one["name"] for one in found["trunks"]] == ["carrier"]
    assert found["trunks"][0]["registration"] == "waiting"


async def test_all_trunks_are_listed_with_state_and_reason() -> None:
    _, found = await get("/api/v1/trunks", lines=Lines())
    assert [(one["name"], one["state"], one["why"], one["since"]) for one in found["trunks"]] == [
        ("carrier", "down", "503 Full", 7),
        ("pbx", "up", "", 9),
    ]


@pytest.mark.parametrize("path", ["/api/v1/registrations", "/api/v1/trunks"])
async def test_they_want_a_token(path: str) -> None:
    assert (await get(path, None, lines=Lines()))[0] == 401


async def test_without_sip_nothing_is_listed() -> None:
    assert (await get("/api/v1/registrations"))[1] == {"registrations": [], "trunks": []}
    assert (await get("/api/v1/trunks"))[1] == {"trunks": []}

"""The pages: what is served where, what browsers may keep, and which headers keep others out."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from web_house import web_house

from gateway.ivr.texts import PROMPTS
from gateway.reasons import Reason, Refused
from gateway.web import pages
from gateway.web.pages import Pages


@pytest.fixture
def client_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser application of three files, in place of the real one."""
    directory = tmp_path / "client"
    (directory / "parts").mkdir(parents=True)
    (directory / "index.html").write_text("<!doctype html><title>Join</title>")
    (directory / "main.js").write_text("export const answer = 42;")
    (directory / "parts" / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    monkeypatch.setattr(pages, "CLIENT", directory)
    return directory


@pytest.mark.usefixtures("client_files")
async def test_every_room_has_the_same_page() -> None:
    async with web_house(listening=False) as house, house.client(None) as client:
        for path in ("/", "/r/100", "/r/100/", "/r/no-such-room"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (200, "<!doctype html><title>Join</title>")
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache"
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.usefixtures("client_files")
async def test_files_have_their_types_and_are_not_sent_twice() -> None:
    async with web_house() as house, house.client(None) as client:
        for path, type_ in (("main.js", "text/javascript; charset=utf-8"), ("parts/logo.svg", "image/svg+xml")):
            answer = await client.get(f"/static/{path}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, type_)
            tag = answer.headers["etag"]
            for known in (tag, f'"other", W/{tag}'):
                again = await client.get(f"/static/{path}", headers={"If-None-Match": known})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert (await client.get(f"/static/{path}", headers={"If-None-Match": '"old"'})).status_code == 200
        assert (await client.get("/static/parts")).status_code == 404
        assert (await client.get("/favicon.ico")).status_code == 204


async def test_the_waiting_music_is_the_operators_else_the_shipped_one(tmp_path: Path) -> None:
    async with web_house(sounds=(tmp_path, PROMPTS)) as house, house.client(None) as client:
        shipped = await client.get("/sounds/waiting")
        assert (shipped.status_code, shipped.headers["content-type"]) == (200, "audio/ogg")
        assert shipped.content == (PROMPTS / "music" / "waiting.ogg").read_bytes()
        part = await client.get("/sounds/waiting", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, shipped.content[100:200])
        (tmp_path / "music").mkdir()
        (tmp_path / "music" / "waiting.wav").write_bytes(b"RIFF")
        own = await client.get("/sounds/waiting")
        assert (own.content, own.headers["content-type"], own.headers["cache-control"]) == (
            b"RIFF",
            "audio/wav",
            "no-cache",
        )
    async with web_house(listening=False) as house, house.client(None) as client:
        assert (await client.get("/sounds/waiting")).status_code == 404


async def test_every_answer_carries_the_headers_that_keep_others_out() -> None:
    async with web_house() as house, house.client(None) as client:
        for path in ("/", "/static/nothing", "/api/docs", "/api/v1/rooms", "/healthz"):
            headers = (await client.get(path)).headers
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["frame-ancestors"] == "'none'"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "server" not in headers


async def test_the_real_pages_hold_nothing_inline_that_the_policy_forbids() -> None:
    for directory in (pages.CLIENT, pages.DOCS):
        for path in directory.rglob("*.html"):
            text = path.read_text()
            assert " style=" not in text, path
            assert "<style" not in text, path
            assert "javascript:" not in text, path
            for tag in text.split("<script")[1:]:
                assert " src=" in tag.split(">")[0], path
                assert tag.split(">", 1)[1].lstrip().startswith("</script>"), path


def test_a_file_that_is_too_large_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_FILE", 10)
    (tmp_path / "small.js").write_text("1")
    (tmp_path / "large.js").write_text("1" * 11)
    found = Pages(tmp_path)
    assert found.get("small.js") is not None
    assert found.get("large.js") is None


async def test_readiness_follows_the_media_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_house(listening=False) as house, house.client(None) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok"}

        async def broken() -> tuple[object, ...]:
            raise Refused(Reason.TRANSPORT_FAILED)

        monkeypatch.setattr(house.plane, "counters", broken)
        answer: httpx.Response = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "no-media-plane"})
        assert (await client.get("/healthz")).status_code == 200


async def test_metrics_are_in_the_text_format() -> None:
    async with web_house(listening=False) as house, house.client(None) as client:
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "roombridge_web_sockets 0.0" in answer.text

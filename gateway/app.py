"""The composition root: the one file that knows every part, and puts them together on one event loop."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop

from gateway import dialling, gatekeeper
from gateway.certificates import check_certificate, keep_certificate, write_private
from gateway.config import Config, Token
from gateway.ivr.guide import menu
from gateway.ivr.speech import Speaker
from gateway.ivr.texts import PROMPTS, Texts, with_own
from gateway.ivr.voice import Voice
from gateway.metrics import Metrics
from gateway.records import RecordBook
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.model import RoomSettings, Stage
from gateway.sip_parts import QOPS, sip_accounts, sip_media, sip_samples, trunk_samples
from gateway.store.registrations import DatabaseRegistrations
from gateway.store.store import Store, StoreError
from sip.accounts import AccountsUnfit
from sip.digest import Algorithm
from transcode.interface import MediaPlane, Sample
from transcode.lag import LagMeter
from transcode.media import Abilities, RoomId
from transcode.memory import settle
from transcode.remote import RemotePlane
from transcode.settings import AudioSettings, PlaneSettings

log = structlog.get_logger()

SIZES = {"1080p": (1920, 1080), "720p": (1280, 720), "360p": (640, 360)}
"""What `media.size` means in pixels."""
SPOKEN = "sounds"
"""The folder of the state directory in which spoken names are kept."""
SIP_PORT = 5060
"""The port that need not be dialled (RFC 3261 §19.1.2)."""
H323_PORT = 1720
"""The same of H.323; terminals can dial no other without a gatekeeper, most of them."""
SIP_WAIT = 5.0
"""Seconds that calls get to say goodbye when the house shuts."""
STORE_WAIT = 5.0
"""Seconds that the database gets to take the last records then."""


class StartedPlane(MediaPlane, Protocol):
    """A media plane that is started and stopped by the house."""

    async def start(self) -> None:
        """Take ports and threads into use."""

    async def stop(self) -> None:
        """End everything."""


class CannotStart(Exception):
    """The house cannot start; the text says why, and which key to change, for people."""


@contextmanager
def storage() -> Iterator[None]:
    """Raise CannotStart where the database cannot be used."""
    try:
        yield
    except StoreError as error:
        raise CannotStart(f"{error} (storage.url)") from None


@dataclass(slots=True)
class Started:
    """What a started house listens on, for the banner and for tests; fresh_token is set if one was made just now."""

    sip: dict[str, int] = field(default_factory=dict)
    h323: dict[str, int] = field(default_factory=dict)
    web: int | None = None
    addresses: list[str] = field(default_factory=list)
    fresh_token: str | None = None


class House:
    """All parts of one gateway, from start to stop."""

    def __init__(self, config: Config, state: Path) -> None:
        self.config = config
        self.state = state
        self.metrics = Metrics()
        self._lag = LagMeter("signalling")
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> Started:
        """Start every part, the media plane first and the listeners last. Raises CannotStart."""
        config = self.config
        started = Started(addresses=local_addresses(config))
        own = self._prepare(started)
        pairs = {
            name: chosen_certificate(name, section, own)
            for name, section in (("sip", config.sip), ("h323", config.h323), ("web", config.web))
        }
        self.texts = self._read_texts()
        self.speaker = Speaker(self.state / SPOKEN, self.texts)
        with storage():
            self.store = Store(config.storage.url, self.state)
            await self.store.open()
        self.plane = self._make_plane()
        await self.plane.start()
        self.desk = FrontDesk(self.plane, self._rules(started))
        self.desk.voice = Voice(self.texts, config.ivr.language, self.speaker)
        if config.ivr.enabled:
            self.desk.entrance.leader = menu(self.desk.entrance, self.desk.voice)
        self.desk.commands.table = config.commands.table()
        self.desk.commands.key_time = config.commands.key_time
        for room in config.rooms:
            self.desk.open_room(room_settings(room))
        self.book = RecordBook(self.desk, self.store)
        with storage():
            await self.book.start()
        self._tasks.append(asyncio.create_task(self.desk.follow_media()))
        self._lag.start()
        self.metrics.add_source(self.plane.counters)
        self.metrics.add_source(self._samples)
        self.metrics.add_source(self.book.samples)
        await self._start_sip(started, *pairs["sip"])
        await self._start_h323(started, *pairs["h323"])
        await self._start_web(started, *pairs["web"])
        self.desk.lists.start()
        self.desk.rules = self._rules(started)  # now that ports are known, the slate can tell how others get in
        return started

    def _prepare(self, started: Started) -> tuple[Path, Path]:
        """Make the state directory if it is not there, and return the certificate and key that are kept in it."""
        try:
            self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            return keep_certificate(self.state, started.addresses)
        except OSError as error:
            raise CannotStart(
                f"the state directory {self.state} cannot be used: {error.strerror}. Choose another with --state."
            ) from None

    def _make_plane(self) -> StartedPlane:
        config = self.config
        settings = PlaneSettings(
            address=config.media.address or config.listen.address,
            public_address=config.listen.public_address,
            low=config.media.ports[0],
            high=config.media.ports[1],
            multiplex_port=config.h323.multiplex_port,
            audio=AudioSettings(config.audio.levelling, config.audio.noise_suppression),
            sounds=tuple(str(one) for one in self._sounds()),
        )
        if config.media.process:
            return RemotePlane(settings)
        from transcode.plane import Plane  # codecs are loaded only into the process that uses them

        return Plane(settings)

    def _sounds(self) -> list[Path]:
        """Return where sounds are looked for: the operator's own, names that were spoken, and the shipped ones."""
        own = self.config.ivr.prompts
        return [*([] if own is None else [own.absolute()]), self.state.absolute() / SPOKEN, PROMPTS]

    def _read_texts(self) -> Texts:
        own = self.config.ivr.prompts
        if own is not None and not own.is_dir():
            raise CannotStart(f"there is no directory {own} (ivr.prompts)")
        try:
            return with_own(own)
        except ValueError as error:
            raise CannotStart(f"{error} (ivr.prompts)") from None

    def _rules(self, started: Started) -> HouseRules:
        media = self.config.media
        width, height = SIZES[media.size]
        abilities = Abilities(
            srtp=media.srtp,
            bandwidth=media.bandwidth * 1000,
            width=width,
            height=height,
            public_address=self.config.listen.public_address,
        )
        return HouseRules(abilities, _dial_hint(started), media.no_media_timeout)

    async def _start_sip(self, started: Started, certificate: Path, key: Path) -> None:
        from twisted.internet.error import CannotListenError

        from gateway.tls import ClientCertificates
        from sip.adapter import SipAdapter, SipConfig  # needs the reactor, which run() installs first
        from sip.adapter_config import MessagePolicy, SendMessages
        from sip.gate import Policy

        sip, listen = self.config.sip, self.config.listen
        with storage():
            accounts = sip_accounts(self.config, await self.store.accounts())
            registrations = DatabaseRegistrations(self.config.storage.url, self.state) if accounts else None
        self.sip = SipAdapter(
            SipConfig(
                address=listen.address,
                public_address=listen.public_address,
                udp=sip.udp,
                tcp=sip.tcp,
                tls=sip.tls,
                certificate=certificate,
                key=key,
                domain=sip.domain,
                realm=sip.realm,
                digests=tuple(Algorithm(name) for name in sip.digests),
                qops=QOPS[sip.auth_int],
                accounts=accounts,
                trunks=tuple(one.trunk() for one in self.config.trunks),
                authenticate=Policy(sip.authenticate),
                authorities=sip.authorities,
                client_certificates=ClientCertificates(sip.client_certificates),
                show_certificate=sip.certificate is not None,
                more_certificates=more_certificates(sip.more_certificates),
                media=sip_media(self.config),
                messages=MessagePolicy(sip.messages),
                send_messages=SendMessages(sip.send_messages),
                registrations=registrations,
            ),
            self.desk,
            watch=self.desk,
            referrals=self.desk.switchboard,
        )
        self.dialler = self.desk.switchboard.dialler = dialling.HouseDialler(self.sip)
        try:
            self.policy = dialling.set_up(self.desk, self.config, (account.user for account in accounts))
        except OSError as error:
            raise CannotStart(f"policy.certificate cannot be used: {error.strerror or error}") from None
        if self.policy is not None:
            self.metrics.add_source(self.policy.samples)
        try:
            with storage():
                await self.sip.start()
        except CannotListenError as error:
            keys = [f"sip.{name}" for name in ("udp", "tcp", "tls") if getattr(sip, name) == error.port]
            raise cannot_listen(listen.address, error.port, keys, error.socketError) from None
        except AccountsUnfit as error:
            raise CannotStart(f"{error} (accounts, sip.digests)") from None
        started.sip = {str(transport): port for transport, port in self.sip.ports.items()}

    async def _start_h323(self, started: Started, certificate: Path, key: Path) -> None:
        from twisted.internet.error import CannotListenError

        from h323.adapter import H323Adapter, H323Config  # needs the reactor, which run() installs first

        h323, listen = self.config.h323, self.config.listen
        if h323.signalling is None and h323.tls is None:
            return
        ras = gatekeeper.ras_config(self.config)
        self.h323 = H323Adapter(
            H323Config(
                address=listen.address,
                public_address=listen.public_address,
                signalling=h323.signalling,
                tls=h323.tls,
                certificate=certificate,
                key=key,
                tunnelling=h323.tunnelling,
                fast_start=h323.fast_start,
                early_h245=h323.early_h245,
                bandwidth=self.config.media.bandwidth * 1000,
                ras=ras,
                h245_ports=h323.h245_ports,
            ),
            self.desk,
            plan=gatekeeper.GatekeeperPlan(self.desk, self.dialler, ras.accounts),
            watch=self.desk,
        )
        try:
            await self.h323.start()
        except CannotListenError as error:
            keys = [f"h323.{name}" for name in ("signalling", "tls", "ras") if getattr(h323, name) == error.port]
            raise cannot_listen(listen.address, error.port, keys, error.socketError) from None
        started.h323 = dict(self.h323.ports)
        self.dialler.h323 = self.h323
        board = self.desk.switchboard
        board.is_user = gatekeeper.known_users(board.is_user, self.h323)

    async def _start_web(self, started: Started, certificate: Path, key: Path) -> None:
        web = self.config.web
        if web.port is None:
            return
        from gateway.web.server import WebServer, WebSettings

        tokens, started.fresh_token = self._tokens()
        self.web = WebServer(
            WebSettings(
                address=self.config.listen.address,
                port=web.port,
                certificate=certificate,
                key=key,
                tokens=tokens,
                sip_origins=web.sip_origins,
            ),
            self.desk,
            self.metrics,
            book=self.book,
            sip=self.sip.join if web.sip else None,
            lines=gatekeeper.Lines(self.sip, getattr(self, "h323", None)),
            sounds=tuple(self._sounds()),
        )
        try:
            await self.web.start()
        except OSError as error:
            raise cannot_listen(self.config.listen.address, web.port, ["web.port"], error) from None
        started.web = self.web.port

    def _tokens(self) -> tuple[tuple[Token, ...], str | None]:
        """Return the API's tokens; without any in the configuration one is made once, and only its digest is kept."""
        if self.config.api.tokens:
            return self.config.api.tokens, None
        file = self.state / "token.sha256"
        if file.exists():
            try:
                return (Token(token="sha256:" + file.read_text().strip(), scopes=("admin",)),), None
            except ValueError:
                raise CannotStart(f"{file} is damaged. Delete it, and a new API token is made.") from None
        token = secrets.token_urlsafe(24)
        digest = hashlib.sha256(token.encode()).hexdigest()
        write_private(file, digest.encode() + b"\n")
        return (Token(token="sha256:" + digest, scopes=("admin",)),), token

    async def _samples(self) -> Iterable[Sample]:
        by_protocol: dict[str, int] = {}
        for call in self.desk.calls.values():
            name = call.facts.protocol.value
            by_protocol[name] = by_protocol.get(name, 0) + 1
        found = [Sample("calls", (("protocol", name),), count) for name, count in by_protocol.items()]
        for (protocol, reason), count in self.desk.outcomes.items():
            found.append(Sample("calls_total", (("protocol", protocol.value), ("reason", reason.value)), count))
        found += sip_samples(self.sip.counters())
        found += trunk_samples(self.sip.trunk_states())
        found += dialling.samples(self.desk.switchboard)
        found += self.desk.pins.samples()
        found.append(Sample("calls_outside", (), len(self.desk.entrance)))
        for stage in (Stage.LOBBY, Stage.KNOCKING):
            found.append(Sample("calls_waiting", (("at", stage.value),), self.desk.lobby.count(stage)))
        if hasattr(self, "h323"):
            found += gatekeeper.ras_samples(self.h323.ras.counters())
        found += [Sample("sip_open", (("what", what),), count) for what, count in self.sip.stack.sizes().items()]
        if hasattr(self, "h323"):
            found += gatekeeper.h323_samples(self.h323.counters())
        found.append(Sample("rooms", (), len(self.desk.rooms)))
        found.append(Sample("participants", (), sum(len(room.participants) for room in self.desk.rooms.values())))
        found += self._lag.samples()
        return found

    async def stop(self) -> None:
        """Say goodbye to everybody and stop every part."""
        self._lag.stop()
        if hasattr(self, "desk"):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.desk.close(), SIP_WAIT)
        for part in ("web", "sip", "h323", "plane"):
            if hasattr(self, part):
                await getattr(self, part).stop()
        if hasattr(self, "speaker"):
            await self.speaker.close()
        if getattr(self, "policy", None) is not None:
            await self.policy.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_WAIT):
                await self._close_store()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_store(self) -> None:
        if hasattr(self, "book"):
            await self.book.stop()
        if hasattr(self, "store"):
            await self.store.close()


def _dial_hint(started: Started) -> str:
    """Return what the slate says of how to get in, with ROOM where the room's id belongs."""
    lines = ["Waiting for others"]
    address = f"[{started.addresses[0]}]" if ":" in started.addresses[0] else started.addresses[0]
    if started.web is not None:
        lines.append(f"Browser: https://{address}:{started.web}/r/ROOM")
    port = started.sip.get("udp") or started.sip.get("tcp")
    if port is not None:
        lines.append(f"SIP: ROOM@{address}" + ("" if port == SIP_PORT else f":{port}"))
    if started.h323.get("signalling") == H323_PORT:
        lines.append(f"H.323: {address}##ROOM")
    return "\n".join(lines)


def more_certificates(sections: Iterable[Any]) -> tuple[tuple[Path, Path], ...]:
    """Return the certificates of other names, and their keys. Raises CannotStart."""
    return tuple(chosen_certificate("sip.more_certificates", one, (Path(), Path())) for one in sections)


def chosen_certificate(name: str, section: Any, own: tuple[Path, Path]) -> tuple[Path, Path]:
    """Return a section's certificate and key, or the house's own; a certificate without key holds both."""
    if section.certificate is None:
        return own
    pair = section.certificate, section.key or section.certificate
    try:
        check_certificate(*pair)
    except (OSError, ValueError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CannotStart(f"{name}.certificate and {name}.key cannot be used: {said}") from None
    return pair


def cannot_listen(address: str, port: int, keys: list[str], error: OSError) -> CannotStart:
    """Return what to tell of a port that cannot be bound; keys are those of the configuration that name it."""
    key = " and ".join(keys)
    if error.errno == errno.EADDRINUSE:
        said = f"port {port} ({key}) is used by another program. End that one, or give another port."
    elif error.errno == errno.EACCES:
        said = f"this user may not listen on port {port} ({key}). Give a port above 1023."
    elif error.errno == errno.EADDRNOTAVAIL:
        said = f"this machine has no address {address} (listen.address)."
    else:
        said = f"port {port} ({key}) of {address} cannot be listened on: {os.strerror(error.errno or 0)}."
    return CannotStart(said)


def room_settings(room: Any) -> RoomSettings:
    """Return a configured room as the desk knows it."""
    return RoomSettings(
        id=RoomId(room.id),
        name=room.name,
        mode=room.mode,
        aliases=room.aliases,
        layout=room.layout,
        host_pin=room.host_pin,
        guest_pin=room.guest_pin,
        max_participants=room.max_participants,
        lobby=room.lobby,
        when_locked=room.when_locked,
        host_leaves=room.host_leaves,
        host_leaves_after=room.host_leaves_after,
        lone_timeout=room.lone_timeout,
        idle_timeout=room.idle_timeout,
        entry=room.entry,
        commands=None if room.commands is None else room.commands.table(),
        auto_dial=tuple(entry.entry() for entry in room.auto_dial),
        language=room.language or "",
    )


def local_addresses(config: Config) -> list[str]:
    """Return the addresses to tell people, the likeliest first."""
    listen = config.listen
    if listen.public_address:
        return [listen.public_address]
    if listen.address not in ("0.0.0.0", "::"):
        return [listen.address]
    found = []
    # Connecting a datagram socket sends nothing; it asks the routing table which of our addresses would be used.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        found.append(probe.getsockname()[0])
    return [*found, "127.0.0.1"] if "127.0.0.1" not in found else found


def run(config: Config, state: Path, ready: Any) -> None:
    """Run a house until SIGINT or SIGTERM; `ready` is called with `Started` once everything listens."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    from twisted.internet import asyncioreactor

    asyncioreactor.install(loop)
    from twisted.internet import reactor

    async def main() -> None:
        reactor.startRunning(installSignalHandlers=False)  # type: ignore[attr-defined]
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        house = House(config, state)
        try:
            started = await house.start()
            settle()
            ready(started)
            await stopping.wait()
            log.info("stopping", calls=len(house.desk.calls))
        finally:
            await house.stop()

    try:
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def state_directory(given: Path | None) -> Path:
    """Return where certificate, database and token live: given, or $ROOMBRIDGE_STATE, or ./state."""
    return (given or Path(os.environ.get("ROOMBRIDGE_STATE", "state"))).absolute()

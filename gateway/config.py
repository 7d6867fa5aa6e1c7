"""Configuration: one commented schema, read from YAML and the environment.

Every key of the file is also `ROOMBRIDGE_A__B` in the environment, which wins over the file; `null` there is YAML's
null, and lists are JSON. With no file at all the defaults here are what `roombridge serve` runs with.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.config_base import Section
from gateway.config_calling import CommandsConfig, DialList, HouseCommandsConfig
from gateway.config_dialling import MAX_RULES, DialRule, OutboundConfig, PolicyConfig
from gateway.config_ivr import IvrConfig, Language
from gateway.config_trunks import MAX_TRUNKS, TrunkConfig, check_trunks
from gateway.rooms.model import Greeting, HostLeaves, RoomMode, WhenLocked
from transcode.media import Layout, SrtpPolicy
from transcode.settings import Suppression

Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPort = Port | None
Digest = Literal["MD5", "SHA-256", "SHA-512-256"]
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^\s/@]{1,255})$")]
MAX_ACCOUNTS = 10_000
"""Accounts in one configuration: what one machine is a registrar for."""
MAX_NEIGHBOURS = 32
"""Gatekeepers that are asked at once for what nobody here knows."""
MAX_H323_ALIASES = 32
"""Names and prefixes that we register elsewhere; a RAS message must fit into a datagram."""
Host = Annotated[str, Field(pattern=r"^[^\s@/]{1,253}$")]
Alias = Annotated[str, Field(min_length=1, max_length=128)]
Prefix = Annotated[str, Field(pattern=r"^[0-9#*]{1,32}$")]
LONGEST_WAIT = 86_400
Wait = Annotated[int, Field(ge=0, le=LONGEST_WAIT)]
"""Seconds, a day at most."""
MAX_PARTICIPANTS = 500
"""Participants of one room: five times the largest that is promised on one machine."""
MAX_CERTIFICATES = 100
"""Names that one machine is reached by; each handshake looks through them."""
MAX_PLACE = 200
"""Characters of a key's place that are told; one that is not known may be of any length."""
MAX_SAID = 500
"""Characters of what is told of one key, for the same reason."""
MAX_ROOMS = 10_000
"""Rooms in one configuration; more belong into the database."""


MAX_ALIASES = 16
"""Other names of one room: a short number, a long one, and a few words."""
ROOM_NAME = r"^[A-Za-z0-9._-]{1,64}$"
"""What the id of a room consists of."""
RoomName = Annotated[str, Field(pattern=ROOM_NAME)]
ECHO_NUMBER = "9196"
"""What phones dial for the echo room: the number that FreeSWITCH's example dial plan gave it."""


def _address(value: str | None) -> str | None:
    if value is not None:
        ipaddress.ip_address(value)
    return value


def _off(value: object) -> object:
    """Read YAML's bare `off`, which is a boolean there, as the word that was written."""
    return "off" if value is False else value


class Listen(Section):
    """Where signalling listens; public_address is what peers are told if the machine stands behind NAT."""

    address: str = "0.0.0.0"
    public_address: str | None = None

    _check = field_validator("address", "public_address")(_address)


class SipSrtp(Section):
    """Encryption of media by the listener that a call came to or goes out by; null leaves it to media.srtp."""

    udp: SrtpPolicy | None = None
    tcp: SrtpPolicy | None = None
    tls: SrtpPolicy | None = None

    _off = field_validator("udp", "tcp", "tls", mode="before")(_off)


class SipOffer(Section):
    """What the gateway offers where it has to offer: DTLS-SRTP instead of key lines, ICE. Answers follow the peer."""

    dtls: bool = False
    ice: bool = False


class CertificateFiles(Section):
    """PEM files: a certificate with its chain, and its key; null: the key stands in the certificate's file."""

    certificate: Path
    key: Path | None = None


class Sip(Section):
    """SIP ports (null turns one off, 0 takes any free one), domain, and the certificate of TLS (PEM files).

    more_certificates are those of other names, shown to TLS clients that ask for them.
    realm is what accounts' passwords are hashed with, digests which algorithms are offered, auth_int whether they cover
    the bodies of requests too. authenticate: which calls
    must prove who they come from; off, registered (those that claim to come from an account), or all.
    client_certificates: whether TLS peers are asked for, or must show, one that the authorities (a PEM file) signed;
    servers that are dialled over TLS must show such a one too. messages: whose MESSAGE a room's chat takes;
    send_messages: who is sent the chat by MESSAGE.
    """

    udp: OptionalPort = 5060
    tcp: OptionalPort = 5060
    tls: OptionalPort = 5061
    domain: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    more_certificates: Annotated[tuple[CertificateFiles, ...], Field(max_length=MAX_CERTIFICATES)] = ()
    realm: Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,64}$")] = "roombridge"
    digests: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=3)] = ("MD5",)
    auth_int: Literal["off", "offer", "require"] = "off"
    authenticate: Literal["off", "registered", "all"] = "off"
    srtp: SipSrtp = SipSrtp()
    offer: SipOffer = SipOffer()
    client_certificates: Literal["off", "ask", "require"] = "off"
    authorities: Path | None = None
    messages: Literal["off", "participants", "accounts"] = "participants"
    send_messages: Literal["never", "answer", "always"] = "answer"

    _off = field_validator("auth_int", "authenticate", "client_certificates", "messages", mode="before")(_off)

    @model_validator(mode="after")
    def _proof(self) -> Sip:
        if self.client_certificates != "off" and self.authorities is None:
            raise ValueError("client_certificates needs authorities: the file of those who sign them")
        return self


class H323Bandwidth(Section):
    """What the embedded gatekeeper lets calls take, in kbit/s both directions together; null: no bound."""

    call: Annotated[int, Field(ge=64, le=1_000_000)] | None = None
    total: Annotated[int, Field(ge=64, le=100_000_000)] | None = None


class H323(Section):
    """H.323 ports and gatekeeper (embedded, off, auto, or host[:port]).

    certificate and key are those of the TLS port, without them the house's own. tunnelling says whether H.245 goes
    inside call signalling where the peer does so too, fast_start whether calls that we place propose media at once,
    early_h245 whether their SETUP carries the first H.245 messages already.

    Of the embedded gatekeeper: gatekeeper_name is its identifier; routed sends signalling of calls between endpoints
    through the house, pregranted then spares them to ask for each call; authenticate says who must prove a password;
    registration_time is in seconds; neighbours are gatekeepers of other zones. As somebody else's endpoint: aliases
    and prefixes are what we register, user and password prove who we are.

    h245_ports are the first and last TCP port where H.245 connections of their own are awaited; null takes any.
    traversal: endpoints behind translators are served, and we ask another gatekeeper to serve us (H.460.17, .18, .19).
    multiplex_port is the UDP port, with RTCP on the next, that their media may share.
    """

    signalling: OptionalPort = 1720
    tls: OptionalPort = 1300
    ras: OptionalPort = 1719
    certificate: Path | None = None
    key: Path | None = None
    tunnelling: bool = True
    fast_start: bool = False
    early_h245: bool = False
    gatekeeper: Annotated[str, Field(min_length=1, max_length=256)] = "embedded"
    gatekeeper_name: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")] = "Roombridge"
    routed: bool = False
    pregranted: bool = False
    authenticate: Literal["off", "registered", "all"] = "registered"
    registration_time: Annotated[int, Field(ge=30, le=86_400)] = 300
    bandwidth: H323Bandwidth = H323Bandwidth()
    neighbours: Annotated[tuple[Host, ...], Field(max_length=MAX_NEIGHBOURS)] = ()
    aliases: Annotated[tuple[Alias, ...], Field(max_length=MAX_H323_ALIASES)] = ()
    prefixes: Annotated[tuple[Prefix, ...], Field(max_length=MAX_H323_ALIASES)] = ()
    user: Annotated[str, Field(max_length=64)] = ""
    password: Annotated[str, Field(max_length=128)] | None = Field(default=None, repr=False)
    h245_ports: tuple[Port, Port] | None = None
    traversal: bool = True
    multiplex_port: Annotated[int, Field(ge=1024, le=65_534)] | None = None

    _off = field_validator("gatekeeper", "authenticate", mode="before")(_off)

    @field_validator("h245_ports")
    @classmethod
    def _range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1024 <= value[0] <= value[1]:
            raise ValueError("needs two ports, the first at least 1024 and not above the second")
        return value


class Web(Section):
    """HTTPS: browser application, API and SIP over WebSocket; without a certificate a self-signed one is made and kept.

    sip: whether pages may speak SIP at /sip; sip_origins are the other servers whose pages may, beside our own.
    """

    port: OptionalPort = 8443
    certificate: Path | None = None
    key: Path | None = None
    sip: bool = True
    sip_origins: tuple[Origin, ...] = ()


class Audio(Section):
    """How sound is made pleasant: speakers brought to one level, steady noise taken out of phones' or everybody's."""

    levelling: bool = True
    noise_suppression: Suppression = Suppression.OFF

    _off = field_validator("noise_suppression", mode="before")(_off)


class Media(Section):
    """Media: address to bind (null: that of listen), port range, encryption, and what is sent to each leg at most.

    bandwidth is in kbit/s for one video stream. process: whether the media plane runs in a process of its own.
    """

    address: str | None = None
    ports: tuple[Port, Port] = (40000, 49999)
    srtp: SrtpPolicy = SrtpPolicy.PREFER
    bandwidth: Annotated[int, Field(ge=64, le=8000)] = 2000
    size: Literal["1080p", "720p", "360p"] = "720p"
    process: bool = True
    no_media_timeout: Annotated[int, Field(ge=0, le=86400)] = 300

    _check = field_validator("address")(_address)
    _off = field_validator("srtp", mode="before")(_off)

    @field_validator("ports")
    @classmethod
    def _range(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] < 1024 or value[1] - value[0] < 3:
            raise ValueError("needs two ports, the first at least 1024, with at least four ports between them")
        return value


class Storage(Section):
    """Database (SQLAlchemy URL; a relative SQLite path is taken from the state directory) and recordings."""

    url: str = "sqlite:///roombridge.db"
    recordings: Path = Path("recordings")


class RoomConfig(Section):
    """One room. With guest_pin, nobody enters without a PIN; host_pin makes a host of who gives it.

    aliases are what else may be dialled for it. lobby: guests wait until a host is in. when_locked: whether newcomers
    may knock at the locked room. host_leaves: whether the meeting ends host_leaves_after seconds after the last host
    left; lone_timeout and idle_timeout end it where somebody is alone or nothing happens for so many seconds, 0: never.
    entry: what is heard when somebody comes or goes. commands: what keys mean in it, null: as in all rooms. auto_dial:
    whom the house calls into it by itself.
    language is what callers are spoken to in, null: that of ivr.
    """

    id: RoomName
    name: Annotated[str, Field(max_length=64)] = ""
    mode: RoomMode = RoomMode.MEETING
    aliases: Annotated[tuple[RoomName, ...], Field(max_length=MAX_ALIASES)] = ()
    host_pin: Annotated[str, Field(pattern=r"^[0-9]{1,16}$")] | None = None
    guest_pin: Annotated[str, Field(pattern=r"^[0-9]{1,16}$")] | None = None
    layout: Layout = Layout.AUTO
    max_participants: Annotated[int, Field(ge=1, le=MAX_PARTICIPANTS)] = 50
    lobby: bool = False
    when_locked: WhenLocked = WhenLocked.KNOCK
    host_leaves: HostLeaves = HostLeaves.CONTINUE
    host_leaves_after: Wait = 60
    lone_timeout: Wait = 0
    idle_timeout: Wait = 0
    entry: Greeting = Greeting.NONE
    commands: CommandsConfig | None = None
    auto_dial: DialList = ()
    language: Language | None = None


class AccountConfig(Section):
    """Who may register: a user with a password, or with HA1 = H(user:realm:password) by algorithm, as hex."""

    user: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+~-]{1,64}$")]
    password: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(default=None, repr=False)
    ha1: dict[Digest, str] = Field(default={}, repr=False)
    display_name: Annotated[str, Field(max_length=64)] = ""
    protocols: tuple[Literal["sip", "h323"], ...] = ("sip", "h323")

    @model_validator(mode="after")
    def _secret(self) -> AccountConfig:
        if self.password is None and not self.ha1:
            raise ValueError("an account needs a password or ha1")
        for algorithm, key in self.ha1.items():
            if not re.fullmatch(f"[0-9a-fA-F]{{{32 if algorithm == 'MD5' else 64}}}", key):
                raise ValueError(f"ha1 of {algorithm} has the wrong form")
        return self


class Token(Section):
    """A bearer token of the API, or "sha256:" and its digest in hex, and what it may do."""

    token: Annotated[str, Field(min_length=16, max_length=256)]
    scopes: tuple[Literal["admin", "rooms", "calls", "read"], ...] = ("read",)

    @field_validator("token")
    @classmethod
    def _digest(cls, value: str) -> str:
        if value.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-fA-F]{64}", value):
            raise ValueError('needs 64 hexadecimal digits after "sha256:"')
        return value


class Api(Section):
    """The HTTP API's tokens; without any, one is made, printed once, and kept in the state directory."""

    tokens: tuple[Token, ...] = ()


class Config(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="ROOMBRIDGE_",
        env_nested_delimiter="__",
        env_parse_none_str="null",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )
    content: ClassVar[dict[str, Any]] = {}
    """What the file holds, which `load` reads."""

    listen: Listen = Listen()
    sip: Sip = Sip()
    h323: H323 = H323()
    web: Web = Web()
    media: Media = Media()
    audio: Audio = Audio()
    storage: Storage = Storage()
    rooms: Annotated[tuple[RoomConfig, ...], Field(max_length=MAX_ROOMS)] = (
        RoomConfig(id="100", name="Everyone"),
        RoomConfig(id="echo", name="Echo test", mode=RoomMode.ECHO, aliases=(ECHO_NUMBER,)),
    )
    accounts: Annotated[tuple[AccountConfig, ...], Field(max_length=MAX_ACCOUNTS)] = ()
    trunks: Annotated[tuple[TrunkConfig, ...], Field(max_length=MAX_TRUNKS)] = ()
    dial_plan: Annotated[tuple[DialRule, ...], Field(max_length=MAX_RULES)] = ()
    outbound: OutboundConfig = OutboundConfig()
    policy: PolicyConfig = PolicyConfig()
    commands: HouseCommandsConfig = HouseCommandsConfig()
    ivr: IvrConfig = IvrConfig()
    api: Api = Api()

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        ids = [name for room in self.rooms for name in (room.id, *room.aliases)]
        if len(ids) != len(set(ids)):
            raise ValueError("two rooms have the same id or alias")
        users = [account.user for account in self.accounts]
        if len(users) != len(set(users)):
            raise ValueError("two accounts have the same user")
        check_trunks(self.trunks)
        if self.sip.authorities is None and any(trunk.certificates for trunk in self.trunks):
            raise ValueError("certificates of trunks need sip.authorities, who signed them")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Config:
        shared, (low, high) = self.h323.multiplex_port, self.media.ports
        if shared is not None and low - 1 <= shared <= high:
            raise ValueError("h323.multiplex_port lies in media.ports")
        return self

    @model_validator(mode="after")
    def _trunks_are_there(self) -> Config:
        known = {trunk.name for trunk in self.trunks} | {""}
        named = [name for rule in self.dial_plan for name in (rule.trunk, *rule.from_trunk)]
        named += [name for rule in self.outbound.rules for name in (rule.trunk, *rule.from_trunks)]
        named += [entry.trunk for room in self.rooms for entry in room.auto_dial]
        for name in named:
            if name not in known:
                raise ValueError(f"there is no trunk {name!r}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given first, then the environment, then the file."""
        return (init_settings, env_settings, InitSettingsSource(settings_cls, cls.content))


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and why, for people."""


def load(path: Path | None) -> Config:
    """Read the configuration. Raises ConfigError with one line for each fault."""
    content_read = {} if path is None else _read(path)

    class FromFile(Config):
        content = content_read

    try:
        return FromFile()
    except ValidationError as error:
        raise ConfigError("\n".join(_line(fault) for fault in error.errors())) from None
    except SettingsError as error:
        raise ConfigError(f"the environment cannot be used: {error} ({error.__cause__})") from None


def _read(path: Path) -> dict[str, Any]:
    """Read a file of keys. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # What looks like a date or a number, and is none, raises what Python's own types do.
        raise ConfigError(f"{path} is not YAML that can be read: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path} holds no keys with their values, as in sip: {{udp: 5060}}")
    return content


def _line(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "file"
    return printable(f"{where[:MAX_PLACE]}: {fault['msg'][:MAX_SAID]}")


def printable(text: str) -> str:
    """Return a text in one line, whatever was written into a file."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)

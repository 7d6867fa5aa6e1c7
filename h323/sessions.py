"""The RTP sessions of one call: which logical channels stand for which stream, and what the house is told of them.

Theory of operation. The house's offer names our ports and formats; it becomes our capabilities. From the peer's
capabilities a format is chosen for each stream that we send, as many as its simultaneous sets allow, and a channel is
opened for it. Channels that the peer opens are taken if the house can receive what they carry. After every change
`remote` describes the peer in the house's terms: a stream whose channels are not open yet stands there inactive.

Pure: channels in, requests and descriptions out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from h323.describe import fast_start
from h323.describe.capabilities import Entry, PeerAbilities
from h323.describe.channels import SESSIONS, AnswerFacts, ChannelFacts, open_request, write_answer
from h323.describe.fast_start import Place
from h323.describe.modes import read_mode
from h323.h235.channels import ChannelSecurity
from h323.h460.media import MediaWays, read_way
from h323.session import DYNAMIC, SOUND_RATE, Half, Key, Session, numbered, rank
from h323.signalling.events import Address
from transcode.media import (
    Codec,
    Format,
    H235Cipher,
    H235Key,
    Kind,
    MediaDescription,
    Role,
    StreamDescription,
    Transport,
)

Value = dict[str, Any]
FIRST_FREE_SESSION = 32
"""Session number that we give to slides as master; others are seen to begin there too."""
UNNAMED = (None, "0.0.0.0", "::")
SLIDES: Key = (Kind.VIDEO, Role.SLIDES)
_ORDER: tuple[Key, ...] = ((Kind.AUDIO, Role.MAIN), (Kind.VIDEO, Role.MAIN), SLIDES, (Kind.CAMERA, Role.MAIN))


@dataclass(frozen=True, slots=True)
class Opening:
    """A channel to open: for `opened`, and the openLogicalChannel without number; cipher and secret if encrypted."""

    key: Key
    entry: Entry
    format: Format
    request: Value
    cipher: H235Cipher | None = None
    secret: H235Key | None = None


class Sessions:
    """All sessions of a call. local is the house's offer; ours are told by address, which it may not name itself."""

    def __init__(
        self, local: MediaDescription, address: str, picture: int | None = None, ways: MediaWays | None = None
    ) -> None:
        """address is the IP literal that the peer is told where a description names none.

        picture is what the call as a whole leaves for the picture, in bit/s. ways says how media pass a translator.
        """
        self.local = MediaDescription(())
        self._address = address
        self._picture = picture
        self.bound: int | None = None
        """What the gatekeeper leaves for pictures each way, in bit/s; None for no bound, 0 for no picture at all."""
        self._sessions: dict[Key, Session] = {}
        self._peer: PeerAbilities | None = None
        self._whole: int | None = None
        self.security = ChannelSecurity()
        self.ways = ways or MediaWays()
        self.change(local)

    def change(self, local: MediaDescription) -> tuple[list[int], list[int]]:
        """Take a new offer of the house. Returns the channels of streams that are no more: ours, and the peer's."""
        self.local = local
        gone = dict(self._sessions)
        for stream in local.streams:
            key = (stream.kind, stream.role)
            if stream.refused or key not in _ORDER:
                continue
            transport = stream.transport
            # Bound to all addresses, the media plane does not know by which one the peer sees us.
            host = self._address if transport.address in UNNAMED else str(transport.address)
            port = transport.rtcp_port or transport.port + 1
            place = Place(Address(host, transport.port), Address(transport.rtcp_address or host, port))
            known = gone.pop(key, None)
            if known is not None and known.place == place:
                known.stream = stream
                continue
            if known is not None:
                gone[key] = known  # it has other ports now: its channels are to be opened again
            number = SESSIONS[stream.kind] if stream.role is Role.MAIN else 0
            self._sessions[key] = Session(stream, number, place)
        ours = [one.sending.number for one in gone.values() if one.sending is not None]
        theirs = [one.receiving.number for one in gone.values() if one.receiving is not None]
        for key, one in gone.items():
            if self._sessions[key] is one:
                del self._sessions[key]
        return ours, theirs

    # sending

    def take_abilities(self, peer: PeerAbilities) -> list[int]:
        """Take the peer's abilities. Returns our channels that it no longer takes, to be closed."""
        self._peer = peer
        self.security.take(peer.security)
        gone = []
        for session in self._sessions.values():
            session.tried.clear()
            if not any(one.format.codec is session.asked for one in peer.of(session.stream.kind)):
                session.asked = None  # the peer no longer takes what it asked for
            half = session.sending
            if half is None:
                continue
            same = [one for one in peer.entries if session.fits(one, half.format)]
            if same:
                half.entry = same[0]
            else:
                gone.append(half.number)
        return gone

    def pause(self) -> list[int]:
        """The peer takes nothing until its next set. Returns our channels, to be closed."""
        self._peer = None
        return self.own_channels()

    def ask(self, modes: Iterable[Any]) -> bool | None:
        """Take the peer's request for a mode: the first that we can send in. None if there is none, else if it is the
        one that the peer likes best. `unasked` tells what is to be closed then."""
        for place, mode in enumerate(modes):
            wanted = read_mode(mode)
            if wanted and all(self._could_send(kind, codec) for kind, codec in wanted.items()):
                for kind, codec in wanted.items():
                    self._sessions[kind, Role.MAIN].asked = codec
                return place == 0
        return None

    def _could_send(self, kind: Kind, codec: Codec | None) -> bool:
        session = self._sessions.get((kind, Role.MAIN))
        if session is None or self._peer is None or codec is None:
            return False
        known = any(one.codec is codec for one in session.stream.send)
        return known and any(one.format.codec is codec for one in self._peer.of(kind))

    def unasked(self) -> list[int]:
        """Return our channels that carry something else than what the peer asked for."""
        return [
            one.sending.number
            for one in self._sessions.values()
            if one.sending is not None and one.asked is not None and one.sending.format.codec is not one.asked
        ]

    @property
    def user_input(self) -> frozenset[str]:
        """The kinds of UserInput that the peer takes."""
        return frozenset() if self._peer is None else self._peer.user_input

    @property
    def pictured(self) -> bool:
        """Whether pictures may come or go, as far as is known: until the peer has said that it has none."""
        streams = any(one.kind is Kind.VIDEO and not one.refused for one in self.local.streams)
        return streams and (self._peer is None or bool(self._peer.of(Kind.VIDEO)) or bool(self.pictures()))

    def pictures(self) -> list[int]:
        """Return the numbers of the peer's channels of pictures."""
        sessions = (one for (kind, _), one in self._sessions.items() if kind is Kind.VIDEO)
        return [one.receiving.number for one in sessions if one.receiving is not None]

    @property
    def carries(self) -> bool:
        """Whether any channel is open."""
        halves = (half for one in self._sessions.values() for half in (one.sending, one.receiving))
        return any(half is not None and half.open for half in halves)

    def openings(self) -> list[Opening]:
        """Return the channels to open now, but those of slides."""
        found: list[Opening] = []
        for key in _ORDER:
            if key[1] is Role.MAIN:
                opening = self._opening(key, [one.entry.number for one in found])
                found += [] if opening is None else [opening]
        return found

    @property
    def shows(self) -> bool:
        """Whether slides can be sent to the peer: it speaks H.239, and takes what we send."""
        session = self._sessions.get(SLIDES)
        return self._peer is not None and self._peer.presents and session is not None and bool(self._peer.of(*SLIDES))

    def slides_opening(self, master: bool) -> Opening | None:
        """Return the channel to open for slides; None if the peer takes none beside the others. The master numbers
        the session (H.245 §C.5.1.3), the slave learns its number from the answer."""
        session = self._sessions.get(SLIDES)
        if session is not None and master and not session.number:
            session.number = FIRST_FREE_SESSION
        return self._opening(SLIDES, [])

    def _opening(self, key: Key, beside: list[int]) -> Opening | None:
        session = self._sessions.get(key)
        if self._peer is None or session is None or session.sending is not None:
            return None
        used = [one.sending.entry.number for one in self._sessions.values() if one.sending and one.sending.entry]
        entry = self._choose(session, key, [*used, *beside])
        if entry is None:
            return None
        cipher, secret = self.security.cipher(entry.number), None
        format, multiplex = numbered(entry.format, cipher is not None), session.stream.transport.multiplex
        place = self.ways.place(session.place, multiplex)
        request = open_request(format, key[1], session.number, place.control, entry.bandwidth, entry.capability)
        if cipher is not None:
            request, secret = self.security.seal(request, cipher, format.payload_type)
        request = self.ways.request(request, place, multiplex)
        return Opening(key, entry, format, request, cipher, secret)

    def _choose(self, session: Session, key: Key, beside: list[int]) -> Entry | None:
        """Return the peer's entry to send in: our order of codecs, then the most that it takes."""
        assert self._peer is not None
        codecs = [one.codec for one in session.stream.send if session.asked in (None, one.codec)]
        usable = [
            one
            for one in self._peer.of(*key)
            if one.format.codec in codecs
            and one.number not in session.tried
            and self.security.usable(one.number)
            and self._peer.fits([*beside, one.number])
        ]
        return min(usable, key=lambda one: (codecs.index(one.format.codec), rank(one)), default=None)

    def opened(self, opening: Opening, number: int) -> None:
        """Note that a channel was asked for."""
        self._sessions[opening.key].sending = Half(
            number, opening.format, opening.entry, cipher=opening.cipher, key=opening.secret
        )

    def answered(self, number: int, facts: AnswerFacts) -> bool:
        """The peer took a channel of ours. False if it does not say where to send, or with which key."""
        for session in self._sessions.values():
            half = session.sending
            if half is not None and half.number == number:
                session.media = facts.media or session.media
                session.control = facts.control or session.control
                session.number = facts.session or session.number
                session.way.hear(read_way(facts.information), self.ways.role)
                if half.cipher is not None and half.key is None:
                    half.key = self.security.read(facts.sync, half.cipher)
                placed = session.media is not None or self.ways.hidden
                half.open = placed and (half.cipher is None or half.key is not None)
                half.limit = 0 if facts.halted else None
                if not half.open and half.entry is not None:
                    session.tried.add(half.entry.number)
                return half.open
        return False

    def refused(self, number: int, cause: str = "") -> None:
        """The peer refused a channel of ours; another of its formats may do.

        A master that refuses it for a conflict with its own channel codes alike in both directions: so do we then.
        """
        for session in self._sessions.values():
            half = session.sending
            if half is not None and half.number == number:
                session.sending = None
                if half.entry is not None:
                    session.tried.add(half.entry.number)
                theirs = session.receiving
                alike = theirs is not None and self.sends(theirs.format, session.stream.kind)
                if cause == "masterSlaveConflict" and theirs is not None and alike:
                    session.asked = theirs.format.codec

    # receiving

    def offered(self, facts: ChannelFacts, master: bool) -> Value | str:
        """Judge a channel that the peer wants to open: the openLogicalChannelAck without number, or the cause."""
        if facts.kind is None or facts.format is None:
            return "unknownDataType" if facts.kind is None else "dataTypeNotSupported"
        if not facts.rtp:
            return "dataTypeALCombinationNotSupported"
        if facts.both:
            return "unsuitableReverseParameters"  # over RTP each side opens its own channel (H.323 Annex Q)
        session = self._sessions.get((facts.kind, facts.role))
        if session is None or not self.receives(facts.format, facts.kind, facts.role):
            return "dataTypeNotSupported"
        if facts.role is Role.MAIN and facts.session not in (0, session.number):
            return "invalidSessionID"
        self.security.master = master
        judged = self.security.judge(facts.ciphers, facts.sync, facts.format.payload_type)
        if isinstance(judged, str):
            return judged
        if facts.role is Role.SLIDES and not session.number:
            session.number = facts.session or FIRST_FREE_SESSION
        session.receiving = Half(facts.number, facts.format, open=True, key=judged.key)
        session.control = facts.control or session.control
        session.way.hear(read_way(facts.information), self.ways.role)
        number, multiplex = facts.format.payload_type, session.stream.transport.multiplex
        place = self.ways.place(session.place, multiplex)
        answer = write_answer(session.number, place.media, place.control, number)
        answer = self.ways.answer(answer, place, multiplex)
        return answer if judged.sync is None else {**answer, "encryptionSync": judged.sync}

    def receives(self, format: Format, kind: Kind, role: Role = Role.MAIN) -> bool:
        """Tell whether the house takes a format."""
        session = self._sessions.get((kind, role))
        return session is not None and any(one.codec is format.codec for one in session.stream.receive)

    def sends(self, format: Format, kind: Kind) -> bool:
        """Tell whether the house sends a format."""
        session = self._sessions.get((kind, Role.MAIN))
        return session is not None and any(one.codec is format.codec for one in session.stream.send)

    # both

    def closed(self, number: int, ours: bool) -> bool:
        """A channel is gone. False if it was none of these."""
        for session in self._sessions.values():
            half = session.sending if ours else session.receiving
            if half is not None and half.number == number:
                if ours:
                    session.sending = None
                else:
                    session.receiving = None
                return True
        return False

    def own_channels(self) -> list[int]:
        """Return the numbers of our channels."""
        return [session.sending.number for session in self._sessions.values() if session.sending is not None]

    def role_of(self, number: int) -> Role | None:
        """Return what a channel of ours shows; None if it is none of these."""
        for (_, role), session in self._sessions.items():
            if session.sending is not None and session.sending.number == number:
                return role
        return None

    def own_number(self, role: Role) -> int | None:
        """Return the number of our video channel with a role, until it is closed for good."""
        session = self._sessions.get((Kind.VIDEO, role))
        return session.sending.number if session is not None and session.sending is not None else None

    def peer_number(self, role: Role) -> int | None:
        """Return the number of the peer's video channel with a role."""
        session = self._sessions.get((Kind.VIDEO, role))
        return session.receiving.number if session is not None and session.receiving is not None else None

    def peer_channel(self, stream: str) -> int | None:
        """Return the number of the peer's channel that carries a stream, by the house's name of it."""
        for session in self._sessions.values():
            if session.stream.id == stream and session.receiving is not None:
                return session.receiving.number
        return None

    def take_new_key(self, number: int, ours: bool, sync: Value) -> bool:
        """Take the master's new key for an open channel. False if there is no such channel or no such key."""
        session, half = self._half(number, ours)
        if session is None or half is None or half.key is None:
            return False
        key = self.security.read(sync, half.key.cipher)
        if key is None:
            return False
        half.key, half.format = key, replace(half.format, payload_type=key.payload_type)
        return True

    def make_new_key(self, number: int, ours: bool, payload_type: int | None) -> Value | None:
        """Make a new key for an open channel, as the slave asks. Returns the EncryptionSync that tells it."""
        session, half = self._half(number, ours)
        if session is None or half is None or half.key is None:
            return None
        last = half.format.payload_type
        following = payload_type or (DYNAMIC if last != DYNAMIC else DYNAMIC + 1)
        made = self.security.renew(half.key, following)
        if made is None:
            return None
        half.key, half.format = made[0], replace(half.format, payload_type=following)
        return made[1]

    def _half(self, number: int, ours: bool) -> tuple[Session | None, Half | None]:
        for session in self._sessions.values():
            half = session.sending if ours else session.receiving
            if half is not None and half.number == number and half.open:
                return session, half
        return None, None

    def limit(self, number: int, rate: int | None) -> bool:
        """Note what the peer takes at most on a channel of ours, or on all for 0, in bit/s.

        Returns whether that changes anything.
        """
        if not number:
            changed, self._whole = self._whole != rate, rate
            return changed
        for session in self._sessions.values():
            half = session.sending
            if half is not None and half.number == number and half.limit != rate:
                half.limit = rate
                return True
        return False

    def remote(self) -> MediaDescription:
        """Describe the peer as the house's offer is answered."""
        return MediaDescription(tuple(self._describe(stream) for stream in self.local.streams))

    def _describe(self, stream: StreamDescription) -> StreamDescription:
        session = self._sessions.get((stream.kind, stream.role))
        if session is None:
            return StreamDescription(stream.id, stream.kind, (), (), Transport(None, 0), stream.role)
        whole = self._share(stream.kind)
        return session.describe(whole, self._keys(stream.kind), self.security.active, self.ways)

    def _share(self, kind: Kind) -> int | None:
        """Return what the call leaves for a stream of ours in bit/s, 0 for nothing, None for no bound: pictures share
        what a limit on all channels leaves beside the sound, and what the gatekeeper does."""
        if kind is not Kind.VIDEO:
            return 0 if self._whole == 0 else None
        sessions = [one for (kind, _), one in self._sessions.items() if kind is Kind.VIDEO and one.sending is not None]
        left = (None if self._whole is None else max(self._whole - SOUND_RATE, 0), self.bound)
        bounds = [one // max(len(sessions), 1) for one in left if one is not None]
        bounds += [] if self._picture is None else [self._picture]
        return min(bounds, default=None)

    def _keys(self, kind: Kind) -> tuple[Format, ...]:
        """Return telephone-event as the peer takes it."""
        number = self._peer.telephone_event if self._peer is not None else None
        if kind is not Kind.AUDIO or number is None:
            return ()
        return (Format(Codec.TELEPHONE_EVENT, number, 8000),)

    # fast connect

    def places(self) -> dict[Kind, Place]:
        """Return our ports of the primary sessions."""
        return {kind: one.place for (kind, role), one in self._sessions.items() if role is Role.MAIN}

    def proposals(self, bandwidth: int | None) -> list[Value]:
        """Return what we propose in a SETUP of ours: each format that goes both ways."""
        formats = [
            (numbered(format), kind)
            for (kind, role), session in self._sessions.items()
            for format in session.stream.send
            if role is Role.MAIN and format.codec not in (Codec.TELEPHONE_EVENT, Codec.H224)
        ]
        return fast_start.propose(formats, self.places(), bandwidth)

    def choose(
        self, proposals: Iterable[Value], writable: Callable[[Value], bool] = lambda _: True
    ) -> list[fast_start.Chosen]:
        """Choose from a caller's proposals and take the channels for open; writable: whether one can be repeated."""
        kinds = {kind: kind for kind in self.places()}

        def receives(format: Format) -> bool:
            return any(self.receives(format, kind) for kind in kinds)

        def sends(format: Format) -> bool:
            return any(self.sends(format, kind) for kind in kinds)

        chosen = [
            one for one in fast_start.choose(list(proposals), self.places(), receives, sends) if writable(one.answer)
        ]
        for one in chosen:
            self.adopt(one.facts, one.ours)
        return chosen

    def adopt(self, facts: ChannelFacts, ours: bool) -> None:
        """Take a channel for open that fast connect agreed on."""
        if facts.kind is None or facts.format is None:
            return
        session = self._sessions.get((facts.kind, Role.MAIN))
        if session is None or not (self.sends if ours else self.receives)(facts.format, facts.kind):
            return  # an answer to what was never proposed
        half = Half(facts.number, facts.format, open=True)
        if ours:
            session.sending = half
            session.media = facts.media or session.media
        else:
            session.receiving = half
        session.control = facts.control or session.control

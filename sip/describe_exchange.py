"""Offer and answer over the life of one dialog (RFC 3264, RFC 6337).

Theory of operation. The m= lines of a session are known by position and never go away; a line that is no longer used
has port 0. An `Exchange` remembers the position, id and latest offer of each line, so that a description of ours,
which knows streams by id alone, is spelled in the right order and every line of the peer's gets its answer. The four
ways in and out:

    remote_offer(body)  -> description      then local_answer(description)  -> body
    local_offer(description) -> body        then remote_answer(body)        -> description

The origin's version grows by one when what we say differs from what we said before, and only then (RFC 3264 §8).
An offer that comes to nothing (488, 491) is taken back with `withdraw`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.reasons import Reason, Refused
from sip.describe import KINDS, describe, read_formats, usable
from sip.describe_write import answer_line, bundle_only, bundled, offer_line, refused_line
from sip.sdp import MAX_MEDIA, Attribute, Media, Origin, SdpError, Session, dump, parse
from transcode.media import Format, MediaDescription

MAX_ID = 64
"""Characters of a mid that is used as an id; browsers write one digit."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What stays of an m= line between offers: its id, kind, protocol, mid and the formats it last had."""

    id: str
    kind: str
    protocol: str
    mid: str | None = None
    formats: tuple[Format, ...] = ()


class Exchange:
    """The offers and answers of one dialog.

    address is advertised where a stream's transport names none: the public one if one is configured. name goes into
    s=. rng makes the session id.
    """

    def __init__(self, address: str, rng: random.Random | None = None, name: str = "Roombridge") -> None:
        self._address = address
        self._name = name
        self._session_id = str((rng or random.SystemRandom()).getrandbits(62))
        self._version = 0
        self._said: bytes | None = None
        self._lines: list[_Line] = []
        self._before: list[_Line] | None = None
        self._offered: Session | None = None
        self._bundled: frozenset[str] = frozenset()

    @property
    def started(self) -> bool:
        """Whether any description went out yet."""
        return self._said is not None

    def remote_offer(self, body: bytes) -> MediaDescription:
        """Read the peer's offer. Raises Refused: it makes no sense, or nothing in it is known here."""
        session = _parse(body)
        if not session.media:
            raise Refused(Reason.BAD_DESCRIPTION, "the offer has no m= line")
        self._before = list(self._lines)
        for index, media in enumerate(session.media):
            self._know(index, media)
        self._offered = session
        if any(media.port for media in session.media) and not any(usable(session, media) for media in session.media):
            self.withdraw()
            raise Refused(Reason.NO_COMMON_FORMAT, "no line of the offer can be used")
        return self._describe(session, session.media)

    def local_answer(self, description: MediaDescription) -> bytes:
        """Spell our answer to the latest offer of the peer, line for line. Raises Refused if it refuses every line."""
        offered = self._offered
        if offered is None:
            raise Refused(Reason.INTERNAL, "an answer without an offer")
        media = []
        for index, asked in enumerate(offered.media):
            stream = description.stream(self._lines[index].id) if asked.kind in KINDS else None
            media.append(answer_line(offered, asked, stream, self._address))
        if any(asked.port for asked in offered.media) and not any(spoken.port for spoken in media):
            self.withdraw()
            raise Refused(Reason.NO_COMMON_FORMAT, "every line of the offer was refused")
        for index, spoken in enumerate(media):
            line = self._lines[index]
            self._lines[index] = replace(line, formats=read_formats(spoken) or line.formats)
        self._before = self._offered = None
        self._bundled = frozenset(description.bundle)
        together = self._together(description, media)
        for index in together[1:]:
            media[index] = bundled(media[index])
        return self._say(media, [self._lines[index].mid or "" for index in together], description)

    def local_offer(self, description: MediaDescription) -> bytes:
        """Spell an offer of ours; lines that the session had before keep their places, unknown ones with port 0."""
        self._before = list(self._lines)
        known = {line.id for line in self._lines}
        fresh = [stream for stream in description.streams if stream.id not in known and stream.kind.value in KINDS]
        if len(self._lines) + len(fresh) > MAX_MEDIA:
            raise Refused(Reason.INTERNAL, "more streams than a description may hold")
        shared = len(description.bundle) > 1
        self._lines += [_Line(it.id, it.kind.value, "", it.id if shared else None) for it in fresh]
        media: list[Media] = []
        for index, line in enumerate(self._lines):
            stream = description.stream(line.id)
            if stream is None:
                payload_types = [str(format.payload_type) for format in line.formats]
                media.append(refused_line(line.kind, line.protocol or "RTP/AVP", payload_types))
                continue
            offered = offer_line(stream, self._address, line.mid, line.formats)
            media.append(offered)
            self._lines[index] = replace(line, protocol=offered.protocol, formats=read_formats(offered) or line.formats)
        together = self._together(description, media) if shared else []
        for index in together[1:]:
            agreed = self._lines[index].id in self._bundled
            media[index] = bundled(media[index]) if agreed else bundle_only(media[index])
        return self._say(media, [self._lines[index].mid or "" for index in together], description)

    def remote_answer(self, body: bytes) -> MediaDescription:
        """Read the peer's answer to our latest offer. Raises Refused if it makes no sense.

        Lines that the answer lacks or turns into another kind are taken as refused; more than were offered are
        not looked at.
        """
        session = _parse(body)
        answered: list[Media] = []
        for index, line in enumerate(self._lines):
            media = session.media[index] if index < len(session.media) else None
            same = media is not None and media.kind == line.kind
            answered.append(media if media is not None and same else refused_line(line.kind, line.protocol, ()))
        self._before = None
        heard = replace(session, media=tuple(answered))
        if any(media.port for media in answered) and not any(usable(heard, media) for media in answered):
            raise Refused(Reason.NO_COMMON_FORMAT, "no line of the answer can be used")
        description = self._describe(heard, answered)
        self._bundled = frozenset(description.bundle)
        return description

    def withdraw(self) -> None:
        """Forget the latest offer, of either side: it was refused, and the session stays as it was."""
        if self._before is not None:
            self._lines, self._before = self._before, None
        self._offered = None

    def _know(self, index: int, media: Media) -> None:
        """Note the line at a position of the peer's offer: it keeps its id unless it became another kind."""
        mid = media.first("mid") or None
        if index < len(self._lines) and self._lines[index].kind == media.kind:
            self._lines[index] = replace(self._lines[index], protocol=media.protocol, mid=mid)
            return
        taken = {line.id for line in self._lines}
        id = mid[:MAX_ID] if mid and mid[:MAX_ID] not in taken else str(index)
        while id in taken:
            id += "+"
        self._lines[index : index + 1] = [_Line(id, media.kind, media.protocol, mid)]

    def _describe(self, session: Session, media: Sequence[Media]) -> MediaDescription:
        """Describe the given lines. Those that the peer left out, which it must not, count as refused."""
        missing = [refused_line(line.kind, line.protocol, ()) for line in self._lines[len(media) :]]
        whole = replace(session, media=(*media, *missing))
        return describe(whole, [line.id for line in self._lines])

    def _together(self, description: MediaDescription, media: Sequence[Media]) -> list[int]:
        """Return which lines of ours are in the bundle, first the one that tells of the transport (RFC 9143 §7.1.3)."""
        lines = zip(self._lines, media, strict=False)  # an answer has no more lines than the offer
        named = {line.id: index for index, (line, spoken) in enumerate(lines) if line.mid and spoken.port}
        return [named[id] for id in description.bundle if id in named]

    def _say(self, media: list[Media], bundle: list[str], description: MediaDescription) -> bytes:
        """Write a description of ours, and count its version up if it says something new."""
        address = next((it.connection for it in media if it.connection), None) or self._address
        media = [replace(it, connection=None) if it.connection == address else it for it in media]
        attributes = [Attribute("group", " ".join(["BUNDLE", *bundle]))] if bundle else []
        if any(stream.transport.ice and stream.transport.ice.lite for stream in description.streams):
            attributes.append(Attribute("ice-lite"))
        said = Session(name=self._name, connection=address, attributes=tuple(attributes), media=tuple(media))
        plain = dump(said)
        if plain != self._said:
            self._version += 1
            self._said = plain
        return dump(replace(said, origin=Origin("-", self._session_id, str(self._version), address)))


def _parse(body: bytes) -> Session:
    try:
        return parse(body)
    except SdpError as error:
        raise Refused(Reason.BAD_DESCRIPTION, str(error)) from None

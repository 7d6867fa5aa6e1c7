"""Requests and responses: a start line, headers, a body; and typed views of the headers that every part needs.

A view is made when first asked for, so that what nobody looks at costs nothing. The parser has looked at the ones
that a message cannot be without (`check`), so these never fail later.
"""

from __future__ import annotations

from functools import cached_property

from sip.headers import Headers
from sip.uri import Uri, parse_uri
from sip.values import BadValue, CSeq, NameAddr, Via, parse_address, parse_cseq, parse_number, parse_via

PHRASES = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    469: "Bad Info Package",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""Reason phrases (RFC 3261 §21 and the RFCs of each status)."""

MAX_CONTACTS = 64
"""Contacts read of one message; a 3xx or REGISTER of a dozen is already rare."""


class _Common:
    """What requests and responses share."""

    headers: Headers
    body: bytes

    @cached_property
    def vias(self) -> list[Via]:
        """All hops, the last one first. Raises BadValue."""
        return [parse_via(value) for value in self.headers.values("Via")]

    @cached_property
    def via(self) -> Via:
        """The topmost hop. Raises BadValue."""
        if not self.vias:
            raise BadValue("Via is missing")
        return self.vias[0]

    @cached_property
    def from_(self) -> NameAddr:
        """From. Raises BadValue."""
        return self._address("From")

    @cached_property
    def to(self) -> NameAddr:
        """To. Raises BadValue."""
        return self._address("To")

    @cached_property
    def call_id(self) -> str:
        """Call-ID. Raises BadValue."""
        value = (self.headers.get("Call-ID") or "").strip()
        if not value:
            raise BadValue("Call-ID is missing")
        return value

    @cached_property
    def cseq(self) -> CSeq:
        """CSeq. Raises BadValue."""
        value = self.headers.get("CSeq")
        if value is None:
            raise BadValue("CSeq is missing")
        return parse_cseq(value)

    @cached_property
    def contacts(self) -> list[NameAddr]:
        """Contact addresses; empty for `Contact: *` too. Raises BadValue."""
        values = self.headers.values("Contact")[:MAX_CONTACTS]
        return [parse_address(value) for value in values if value != "*"]

    @cached_property
    def routes(self) -> list[str]:
        """Record-Route values as they stand, the topmost first."""
        return self.headers.values("Record-Route")

    @cached_property
    def content_type(self) -> str:
        """Media type of the body in lower case, without parameters; empty where none is said."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    def _address(self, name: str) -> NameAddr:
        values = self.headers.all(name)
        if len(values) != 1:
            raise BadValue(f"{name} is {'repeated' if values else 'missing'}")
        return parse_address(values[0])

    def _head(self, start: str) -> bytes:
        lines = [start]
        lines += [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(_Common):
    """One request; uri is the Request-URI."""

    def __init__(self, method: str, uri: Uri | str, headers: Headers, body: bytes = b"") -> None:
        """Make a request of its parts. uri is text where it is not read yet; `uri` may then raise BadUri."""
        self.method = method
        self.target = str(uri)
        self.headers = headers
        self.body = body

    @cached_property
    def uri(self) -> Uri:
        """The Request-URI. Raises BadUri."""
        return parse_uri(self.target)

    @cached_property
    def max_forwards(self) -> int:
        """Hops left; 70 where none is said. Raises BadValue."""
        value = self.headers.get("Max-Forwards")
        return 70 if value is None else parse_number(value, 255)

    def check(self) -> None:
        """Look at what every request must have (RFC 3261 §8.1.1). Raises BadValue or BadUri."""
        if self.cseq.method != self.method:
            raise BadValue("CSeq names another method")
        _ = (self.via, self.from_, self.to, self.call_id, self.contacts, self.max_forwards)
        for value in self.routes:  # they would come back as our Route
            if not parse_address(value).uri.is_sip:
                raise BadValue("Record-Route names no proxy")

    def tagged_to(self, tag: str) -> str:
        """Return To as it came, with a tag that it has not; spelled anew where that would not be read behind it."""
        value = self.headers.get("To") or ""
        if "tag" in self.to.parameters or value.count('"') % 2:
            return str(self.to.with_tag(tag))
        return f"{value};tag={tag}"

    def to_bytes(self) -> bytes:
        """Return it as it goes over the wire; Content-Length is always right."""
        return self._head(f"{self.method} {self.target} SIP/2.0")

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


class Response(_Common):
    """One response."""

    def __init__(self, status: int, phrase: str, headers: Headers, body: bytes = b"") -> None:
        """Make a response of its parts; an empty phrase becomes the usual one."""
        self.status = status
        self.phrase = phrase or PHRASES.get(status, "Unknown")
        self.headers = headers
        self.body = body

    def check(self) -> None:
        """Look at what every response must have. Raises BadValue or BadUri."""
        _ = (self.via, self.from_, self.to, self.call_id, self.cseq)

    def to_bytes(self) -> bytes:
        """Return it as it goes over the wire; Content-Length is always right."""
        phrase = self.phrase.replace("\r", " ").replace("\n", " ")
        return self._head(f"SIP/2.0 {self.status} {phrase}")

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.phrase}>"


Message = Request | Response

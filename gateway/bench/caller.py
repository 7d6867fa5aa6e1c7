"""The signalling generator's own process: calls or registrations from one UDP socket, at a pace, as cheap as can be.

It is told its job as one line of JSON on standard input and says `begin` and `end` as `gateway.bench.generator` does,
and at last a line of JSON with its findings. Messages are made of templates, and no description is looked at: what is
measured is the gateway. Requests are sent again over UDP as RFC 3261 §17.1 wants it, so that a lost datagram is no
failed call.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
import socket
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from gateway.bench import h323_phone

T1 = 0.5
"""Seconds until a request is sent again; doubled each time, to T2 at most (RFC 3261 §17.1.2.1)."""
T2 = 4.0
GIVE_UP = 32.0
"""Seconds without final answer after which a request has failed (timers B and F)."""
MAX_RATE = 1_000
MAX_SECONDS = 300
MAX_USERS = 10_000
MAX_STANDING = 400
"""Calls that stand at once: over it the next one waits, and the pace that was asked for is not reached."""
MAX_ASKING = 100
"""Registrations under way at once."""
PASSWORD = "bench"
_STATUS = re.compile(rb"SIP/2\.0 (\d{3})")
_CALL_ID = re.compile(rb"\r\ncall-id: *([^\r]+)", re.IGNORECASE)
_CSEQ = re.compile(rb"\r\ncseq: *(\d+) +([A-Z]+)", re.IGNORECASE)
_TO = re.compile(rb"\r\nto: *([^\r]+)", re.IGNORECASE)
_CONTACT = re.compile(rb"\r\ncontact: *<([^>]+)>", re.IGNORECASE)
_CHALLENGE = re.compile(rb"\r\nwww-authenticate: *(Digest [^\r]*algorithm=MD5[^\r]*)", re.IGNORECASE)
_NONCE = re.compile(rb'nonce="([^"]+)"')
_REALM = re.compile(rb'realm="([^"]+)"')

_REQUEST = (
    "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{id}-{number}{method}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:{user}@{server}>;tag={id}\r\nTo: {to}\r\nCall-ID: {id}@{host}\r\n"
    "CSeq: {number} {method}\r\nContact: <sip:{user}@{host}:{port}>\r\n{more}Content-Length: {length}\r\n\r\n{body}"
)
_OFFER = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {media} RTP/AVP 0\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
)


@dataclass(frozen=True, slots=True)
class SignallingJob:
    """What to do: calls at `rate` a second for `seconds`, each of `hold` seconds, to the rooms in turn; or users.

    kind is calls (SIP), h323 (calls too), or registrations.
    """

    host: str
    port: int
    kind: str
    rate: int = 0
    seconds: int = 0
    hold: float = 0.1
    rooms: tuple[str, ...] = ("100",)
    users: int = 0


@dataclass(frozen=True, slots=True)
class SignallingFindings:
    """What the generator saw: how many succeeded, the seconds that all took, and set-up times in ms."""

    done: int
    failed: int
    again: int
    took: float
    median: float
    p99: float
    reasons: dict[str, int] = field(default_factory=dict)


class Caller(asyncio.DatagramProtocol):
    """One socket, and what waits for an answer on it."""

    def __init__(self, job: SignallingJob) -> None:
        self.job = job
        self.failures: dict[str, int] = {}
        self.again = 0
        self.times: list[float] = []
        self.done = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[tuple[int, bytes]]] = {}
        self._acks: dict[bytes, bytes] = {}
        self._transport: Any = None
        # Media that comes is left in this socket's buffer: the kernel drops what has no room.
        self._media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._media.bind(("127.0.0.1", 0))

    def connection_made(self, transport: Any) -> None:
        """Note the socket."""
        self._transport = transport
        self.host, self.port = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take an answer; a 2xx to an INVITE that comes again has its ACK sent again."""
        status, id_, cseq = _STATUS.match(data), _CALL_ID.search(data), _CSEQ.search(data)
        if status is None or id_ is None or cseq is None or status[1][:1] == b"1":
            return
        key = id_[1] + cseq[1] + cseq[2]
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result((int(status[1]), data))
        elif key in self._acks:
            self._transport.sendto(self._acks[key])

    def close(self) -> None:
        """Give the sockets back."""
        self._transport.close()
        self._media.close()

    async def run(self) -> None:
        """Do the job."""
        await (self._register_all() if self.job.kind == "registrations" else self._call_on())

    async def _call_on(self) -> None:
        loop = asyncio.get_running_loop()
        rate = min(self.job.rate, MAX_RATE)
        gate = asyncio.Semaphore(MAX_STANDING)
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for index in range(rate * min(self.job.seconds, MAX_SECONDS)):
                await asyncio.sleep(began + index / rate - loop.time())
                await gate.acquire()
                call = self._call if self.job.kind == "calls" else self._call_h323
                group.create_task(self._count(call(index), gate))

    async def _register_all(self) -> None:
        gate = asyncio.Semaphore(MAX_ASKING)
        async with asyncio.TaskGroup() as group:
            for index in range(min(self.job.users, MAX_USERS)):
                await gate.acquire()
                group.create_task(self._count(self._register(index), gate))

    async def _count(self, work: Any, gate: asyncio.Semaphore) -> None:
        try:
            await work
            self.done += 1
        except _Failed as failed:
            self.failures[str(failed)] = self.failures.get(str(failed), 0) + 1
        finally:
            gate.release()

    async def _call(self, index: int) -> None:
        room = self.job.rooms[index % len(self.job.rooms)]
        id_ = f"c{next(self._numbers)}x{self.port}"
        uri = f"sip:{room}@{self.job.host}:{self.job.port}"
        offer = _OFFER.format(host=self.host, media=self._media.getsockname()[1])
        began = time.monotonic()
        status, answer = await self._ask(id_, "INVITE", 1, uri, f"<{uri}>", "load", "application/sdp", offer)
        found = _TO.search(answer), _CONTACT.search(answer)
        to = found[0][1].decode() if found[0] else f"<{uri}>"
        target = found[1][1].decode() if found[1] and status < 300 else uri
        ack = self._make(id_, "ACK", 1, target, to, "load")
        if status >= 300:  # part of the INVITE's transaction: its branch (RFC 3261 §17.1.1.3)
            ack = ack.replace(b"1ACK\r\n", b"1INVITE\r\n", 1)
        key = f"{id_}@{self.host}1INVITE".encode()
        self._acks[key] = ack
        self._transport.sendto(ack)
        try:
            if status >= 300:
                raise _Failed(f"INVITE {status}")
            self.times.append(time.monotonic() - began)
            await asyncio.sleep(self.job.hold)
            status, _ = await self._ask(id_, "BYE", 2, target, to, "load")
            if status != 200:
                raise _Failed(f"BYE {status}")
        finally:
            del self._acks[key]

    async def _call_h323(self, index: int) -> None:
        media = int(self._media.getsockname()[1])
        phone = h323_phone.H323Phone(f"load {index}", h323_phone.describe("127.0.0.1", media, None))
        began = time.monotonic()
        try:
            await phone.dial(self.job.host, self.job.port, self.job.rooms[index % len(self.job.rooms)])
            self.times.append(time.monotonic() - began)
            await asyncio.sleep(self.job.hold)
            if phone.ended is not None:
                raise _Failed(f"ended by {phone.ended.value}")
        except (h323_phone.CallRefused, TimeoutError, OSError) as error:
            raise _Failed(f"SETUP {error!r}"[:80]) from None
        finally:
            await phone.hang_up()

    async def _register(self, index: int) -> None:
        user, id_ = f"u{index}", f"r{next(self._numbers)}x{self.port}"
        uri, own = f"sip:{self.job.host}:{self.job.port}", f"<sip:{user}@{self.job.host}:{self.job.port}>"
        began = time.monotonic()
        status, answer = await self._ask(id_, "REGISTER", 1, uri, own, user)
        challenge = _CHALLENGE.search(answer)
        nonce = _NONCE.search(challenge[1]) if challenge else None
        realm = _REALM.search(challenge[1]) if challenge else None
        if status != 401 or nonce is None or realm is None:
            raise _Failed(f"REGISTER {status}")
        login = _authorization(user, realm[1].decode(), nonce[1].decode(), uri)
        status, _ = await self._ask(id_, "REGISTER", 2, uri, own, user, login=login)
        if status != 200:
            raise _Failed(f"REGISTER {status}")
        self.times.append(time.monotonic() - began)

    async def _ask(
        self,
        id_: str,
        method: str,
        number: int,
        uri: str,
        to: str,
        user: str,
        content_type: str = "",
        body: str = "",
        login: str = "",
    ) -> tuple[int, bytes]:
        """Send a request until its final answer is there; return that. Raises _Failed."""
        message = self._make(id_, method, number, uri, to, user, content_type, body, login)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        key = f"{id_}@{self.host}{number}{method}".encode()
        self._waiting[key] = future
        pause, spent = T1, 0.0
        try:
            while spent < GIVE_UP:
                self._transport.sendto(message)
                self.again += spent > 0
                done, _ = await asyncio.wait((future,), timeout=pause)
                if done:
                    return future.result()
                spent += pause
                pause = min(pause * 2, T2)
            raise _Failed(f"{method} timeout")
        finally:
            del self._waiting[key]

    def _make(
        self,
        id_: str,
        method: str,
        number: int,
        uri: str,
        to: str,
        user: str,
        content_type: str = "",
        body: str = "",
        login: str = "",
    ) -> bytes:
        more = f"Content-Type: {content_type}\r\n" if body else ""
        if method == "REGISTER":
            more += "Expires: 3600\r\n" + login
        return _REQUEST.format(
            method=method,
            uri=uri,
            host=self.host,
            port=self.port,
            server=self.job.host,
            id=id_,
            number=number,
            user=user,
            to=to,
            more=more,
            length=len(body),
            body=body,
        ).encode()


class _Failed(Exception):
    """A call or registration that did not succeed; the text says what came instead."""


def ha1(user: str, realm: str) -> str:
    """Return what the gateway keeps of a user's password: H(user:realm:password) with MD5 (RFC 7616 §3.4.2)."""
    return _md5(f"{user}:{realm}:{PASSWORD}")


def _authorization(user: str, realm: str, nonce: str, uri: str) -> str:
    count, cnonce = "00000001", "bench"
    response = _md5(f"{ha1(user, realm)}:{nonce}:{count}:{cnonce}:auth:{_md5(f'REGISTER:{uri}')}")
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5, '
        f'qop=auth, nc={count}, cnonce="{cnonce}", response="{response}"\r\n'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


async def work(job: SignallingJob) -> SignallingFindings:
    """Do a job; see the module's text for what is said meanwhile."""
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_datagram_endpoint(
        lambda: Caller(job), local_addr=("127.0.0.1", 0), remote_addr=(job.host, job.port)
    )
    try:
        say("begin")
        began = time.monotonic()
        await caller.run()
        took = time.monotonic() - began
        say("end")
    finally:
        caller.close()
    times = sorted(caller.times)
    return SignallingFindings(
        done=caller.done,
        failed=sum(caller.failures.values()),
        again=caller.again,
        took=took,
        median=statistics.median(times) * 1000 if times else 0.0,
        p99=times[int(len(times) * 0.99)] * 1000 if times else 0.0,
        reasons=caller.failures,
    )


def say(word: str) -> None:
    """Tell the one who started us."""
    print(word, flush=True)


def main() -> None:
    """Take a job from standard input, do it, print the findings."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    given["rooms"] = tuple(given["rooms"])
    say(json.dumps(asdict(uvloop.run(work(SignallingJob(**given))))))


if __name__ == "__main__":
    main()

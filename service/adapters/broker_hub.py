"""All clients, all filters and all messages of the embedded broker. docs/decisions/0004-embedded-broker.md says more.

A PUBACK for a retained message, and for one to the service, means that it is on the disk.
"""

import asyncio
import contextlib
import hmac
import logging
import math
import pathlib
import socket
from dataclasses import dataclass, field

from service.adapters.broker_connection import Connection
from service.adapters.broker_packets import Message, matches
from service.adapters.broker_rights import HOME, ROOT, SERVICE, Home, may_connect_as
from service.adapters.broker_session import KeptSession, Router, Session, Spooled
from service.adapters.broker_store import MAX_OF_A_TOPIC, MAX_OF_A_TOPIC_NOW, AccountsReader, MessageFile
from service.domain.errors import BadInputError, BrokerError

EVERY_S = 1.0  # how often connected clients are held against the accounts, and what is done is taken off the disk
GONE_S = 90.0  # after a start: who was here before and is not back by then is told as gone, as by a last will
MAX_POSTED = 2000  # messages that wait for the disk; then senders wait

ALIVE = f"{ROOT}/+/alive"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    host: str
    port: int
    folder: pathlib.Path  # holds broker.db and retained.db
    service_password: str = field(repr=False)
    max_packet_bytes: int = 16 << 10  # the largest message of docs/ota.md has 1,024
    max_connections: int = 20_000
    home: Home | None = None
    tls_port: int = 0  # 0: no TLS
    certificate: pathlib.Path = pathlib.Path()  # PEM, with the chain
    key: pathlib.Path = pathlib.Path()  # PEM


@dataclass(frozen=True, slots=True)
class _Posted:
    message: Message
    sender: Connection | None
    packet_id: int


class Broker:
    """`broker_connection.Hub`. Everything but the disk happens in one thread."""

    def __init__(self, settings: BrokerSettings) -> None:
        if not settings.service_password:
            raise BadInputError("the broker needs a password for the service's user")
        self.max_packet_bytes = settings.max_packet_bytes
        self.home = settings.home
        self._max_connections = settings.max_connections
        self._password = settings.service_password.encode()
        self._accounts = AccountsReader(settings.folder)
        self._file = MessageFile(settings.folder)
        self._retained = {message.topic: message for message in self._file.load()}
        self._posted: asyncio.Queue[_Posted] = asyncio.Queue(MAX_POSTED)
        self._sessions: dict[str, Session] = {}
        self._clean: set[str] = set()  # clients whose session ends with the connection
        self._connected: dict[str, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._router = Router()
        self._last_id = self._file.last_id()
        self._done: list[int] = []  # ids of messages that the service has acknowledged
        for client, filters in self._file.filters().items():
            session = self._sessions[client] = self._made(client, SERVICE)
            for name, qos in filters.items():
                session.subscribe(name, qos)
                self._router.add(name, session)

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._running) >= self._max_connections:
            logger.warning("too many connections", extra={"limit": self._max_connections})
            writer.close()
            return
        with contextlib.suppress(OSError):
            connected: socket.socket = writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # for clients without keep alive
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await Connection(self, reader, writer).run()
        finally:
            self._running.discard(task)

    def close(self) -> None:
        for connection in list(self._connected.values()):
            connection.will = None  # we go, not they
        for task in self._running:
            task.cancel()

    # -- broker_connection.Hub

    def proof(self, user: str, password: bytes) -> bytes | None:
        if user in (SERVICE, HOME):
            known = self._password if user == SERVICE else self.home.password.encode() if self.home else b""
            return known if known and hmac.compare_digest(known, password) else None
        return self._accounts.proof(user, password)

    def may_connect(self, user: str, client: str) -> bool:
        # Home Assistant makes its client id up; a device's would close the device's connection.
        return may_connect_as(user, client) and not (user == HOME and self._accounts.knows(client))

    def join(self, connection: Connection, *, clean: bool) -> tuple[Session, bool]:
        older = self._connected.get(connection.client)
        if older is not None:
            self.leave(older)
            older.close()
        if clean:
            self._forget(connection.client)
            self._clean.add(connection.client)
        else:
            self._clean.discard(connection.client)
        is_old = connection.client in self._sessions
        session = self._sessions.get(connection.client) or self._made(connection.client, connection.user)
        self._sessions[connection.client] = session
        self._connected[connection.client] = connection
        return session, is_old

    def leave(self, connection: Connection) -> None:
        if self._connected.get(connection.client) is not connection:
            return
        del self._connected[connection.client]
        self._sessions[connection.client].detach()
        if connection.client in self._clean:
            self._forget(connection.client)
        if connection.will is not None:
            task = asyncio.create_task(self.post(connection.will, None, 0))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def post(self, message: Message, connection: Connection | None, packet_id: int) -> None:
        await self._posted.put(_Posted(message, connection, packet_id))

    def subscribe(self, session: Session, name: str, qos: int) -> bool:
        if not session.subscribe(name, qos):
            return False
        self._router.add(name, session)
        self._keep_filters(session)
        return True

    def unsubscribe(self, session: Session, name: str) -> None:
        self._router.remove(name, session)
        session.filters.pop(name, None)
        self._keep_filters(session)

    def send_retained(self, session: Session, name: str) -> None:
        if "+" in name or "#" in name:
            topics = [topic for topic in self._retained if matches(name, topic)]
        else:
            topics = [name] if name in self._retained else []
        for message in map(self._retained.__getitem__, topics):
            session.deliver(message, session.filters[name], retain=True)

    # -- tasks

    async def keep_posting(self) -> None:
        """One transaction for everything that came while the last one was written: then deliver, then acknowledge."""
        while True:
            batch = [await self._posted.get()]
            while not self._posted.empty():
                batch.append(self._posted.get_nowait())
            retained = [posted.message for posted in batch if posted.message.retain]
            waiting, done = self._waiting(batch), self._done
            try:
                if retained or waiting or done:
                    self._done = []
                    most = MAX_OF_A_TOPIC_NOW if self._is_service_here() else MAX_OF_A_TOPIC
                    await asyncio.to_thread(self._file.write, retained, waiting, done, most=most)
            except BrokerError:
                logger.exception("messages not kept")
                self._done += done
                for posted in batch:  # unacknowledged: a client sends again when it is back
                    if posted.sender is not None:
                        posted.sender.close()
                continue
            for posted in batch:
                try:
                    self._deliver(posted)
                except Exception:  # whatever is wrong with one client: the broker is there for the others
                    logger.exception("message not delivered", extra={"topic": posted.message.topic[:200]})

    async def keep_checking(self) -> None:
        """Closes who is not allowed any more, and looks once who did not come back."""
        loop = asyncio.get_running_loop()
        due = loop.time() + GONE_S
        while True:
            await asyncio.sleep(EVERY_S)
            await self._forget_done()
            if loop.time() >= due:
                due = math.inf
                await self._tell_who_is_gone()
            try:
                if self._accounts.has_changed():
                    self._check_accounts()
            except BrokerError:
                logger.exception("accounts not checked")

    # -- inside

    async def _tell_who_is_gone(self) -> None:
        """The last wills of those who were here when the broker ended went with it."""
        for topic, message in list(self._retained.items()):
            if matches(ALIVE, topic) and message.payload == b"1" and topic.split("/")[2] not in self._connected:
                await self.post(Message(topic, b"0", 1, retain=True), None, 0)

    async def _forget_done(self) -> None:
        done, self._done = self._done, []
        try:
            if done:
                await asyncio.to_thread(self._file.write, [], [], done)
        except BrokerError:
            logger.exception("messages not forgotten")
            self._done += done

    def _made(self, client: str, user: str) -> Session:
        if client == SERVICE:
            return KeptSession(client, user, read=self._file.waiting, done=self._done_with)
        return Session(client, user)

    def _done_with(self, spooled: int) -> None:
        """It goes with the next write; until then it may come twice."""
        self._done.append(spooled)

    def _is_service_here(self) -> bool:
        session = self._sessions.get(SERVICE)
        return session is not None and session.is_here

    def _keep_filters(self, session: Session) -> None:
        if isinstance(session, KeptSession):
            self._file.keep_filters(session.client, session.filters)

    def _waiting(self, batch: list[_Posted]) -> list[Spooled]:
        found = []
        for message in (posted.message for posted in batch if KeptSession.keeps(posted.message)):
            for session, qos in self._router.wanting(message.topic):
                if isinstance(session, KeptSession) and qos:
                    self._last_id += 1
                    found.append(Spooled(self._last_id, session.client, message))
        return found

    def _check_accounts(self) -> None:
        for client, session in list(self._sessions.items()):
            connection = self._connected.get(client)
            if session.user in (SERVICE, HOME) or connection is None:
                continue
            if not self._accounts.is_valid(session.user, connection.proof):
                logger.info("client closed for its account", extra={"client": client})
                self.leave(connection)
                connection.close()
                self._forget(client)

    def _deliver(self, posted: _Posted) -> None:
        message = posted.message
        if message.is_clear:
            self._retained.pop(message.topic, None)
        elif message.retain:
            self._retained[message.topic] = message
        for session, qos in self._router.wanting(message.topic):
            session.deliver(message, qos, retain=False)
        if posted.sender is not None and posted.packet_id:
            posted.sender.acknowledge(posted.packet_id)

    def _forget(self, client: str) -> None:
        session = self._sessions.pop(client, None)
        if session is not None:
            for name in list(session.filters):
                self._router.remove(name, session)
            if isinstance(session, KeptSession):
                self._file.keep_filters(client, None)

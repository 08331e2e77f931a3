"""Kiln's own MQTT 3.1.1 broker, for whoever has none: its own process, QoS 0 and 1.

docs/decisions/0004-embedded-broker.md says why it exists. A PUBACK for a retained message means that it is on the disk.
"""

import asyncio
import contextlib
import hmac
import logging
import pathlib
import resource
import signal
import socket
from dataclasses import dataclass, field
from typing import Any

from service.adapters.broker_connection import CONNECT_TIMEOUT_S, Connection
from service.adapters.broker_packets import Message, matches
from service.adapters.broker_rights import HOME, SERVICE, Home, may_connect_as
from service.adapters.broker_session import Router, Session
from service.adapters.broker_store import AccountsReader, EmbeddedAccounts, RetainedFile
from service.adapters.broker_tls import Certificate
from service.domain.errors import BadInputError, BrokerError

__all__ = ["BrokerSettings", "EmbeddedAccounts", "Home", "serve"]

ACCOUNTS_EVERY_S = 1.0  # how often connected clients are held against the accounts
CERTIFICATE_EVERY_S = 2.0
MAX_POSTED = 2000  # messages that wait for the disk; then senders wait
BACKLOG = 512

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


def serve(settings: BrokerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises: BrokerError when it cannot listen or its files fail."""
    asyncio.run(_run(settings))


async def _run(settings: BrokerSettings) -> None:
    certificate = Certificate(settings.certificate, settings.key) if settings.tls_port else None
    broker = _Broker(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    servers = await _listen(settings, broker, certificate)
    _allow_files(settings.max_connections + 100)
    work = (broker.keep_posting(), broker.keep_checking(), _keep_looking(certificate), ended.wait())
    tasks = [asyncio.ensure_future(each) for each in work]
    finished, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for server in servers:
        server.close()
    broker.close()
    for server in servers:
        await server.wait_closed()
    for task in finished:
        task.result()  # a broker whose task broke must not pretend to end well


async def _listen(settings: BrokerSettings, broker: "_Broker", certificate: Certificate | None) -> list[asyncio.Server]:
    """Raises: BrokerError."""
    places: list[tuple[int, dict[str, Any]]] = [(settings.port, {})]
    if certificate is not None:
        places.append((settings.tls_port, {"ssl": certificate.context, "ssl_handshake_timeout": CONNECT_TIMEOUT_S}))
    servers = []
    for port, options in places:
        try:
            servers.append(
                await asyncio.start_server(
                    broker.welcome, settings.host, port, limit=settings.max_packet_bytes, backlog=BACKLOG, **options
                )
            )
        except OSError as error:
            raise BrokerError(f"the broker cannot listen on {settings.host}:{port}: {error.strerror}") from error
        logger.info("broker listens", extra={"host": settings.host, "port": port, "tls": bool(options)})
    return servers


async def _keep_looking(certificate: Certificate | None) -> None:
    """Whoever connects after the files changed sees the new certificate."""
    while True:
        await asyncio.sleep(CERTIFICATE_EVERY_S)
        try:
            if certificate is not None and certificate.look():
                logger.info("certificate taken again")
        except BrokerError as error:
            logger.warning("certificate not taken", extra={"reason": str(error)})


class _Broker:
    """All clients, all filters, all retained messages. Everything but the disk happens in one thread."""

    def __init__(self, settings: BrokerSettings) -> None:
        if not settings.service_password:
            raise BadInputError("the broker needs a password for the service's user")
        self.max_packet_bytes = settings.max_packet_bytes
        self.home = settings.home
        self._max_connections = settings.max_connections
        self._password = settings.service_password.encode()
        self._accounts = AccountsReader(settings.folder)
        self._file = RetainedFile(settings.folder)
        self._retained = {message.topic: message for message in self._file.load()}
        self._posted: asyncio.Queue[_Posted] = asyncio.Queue(MAX_POSTED)
        self._sessions: dict[str, Session] = {}
        self._clean: set[str] = set()  # clients whose session ends with the connection
        self._connected: dict[str, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._router = Router()

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
        session = self._sessions.setdefault(connection.client, Session(connection.client, connection.user))
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
        return True

    def unsubscribe(self, session: Session, name: str) -> None:
        self._router.remove(name, session)
        session.filters.pop(name, None)

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
            try:
                if retained:
                    await asyncio.to_thread(self._file.write, retained)
            except BrokerError:
                logger.exception("retained messages not kept")
                for posted in batch:  # unacknowledged: a client sends again when it is back
                    if posted.sender is not None:
                        posted.sender.close()
                continue
            for posted in batch:
                self._deliver(posted)

    async def keep_checking(self) -> None:
        """Closes who is not allowed any more."""
        while True:
            await asyncio.sleep(ACCOUNTS_EVERY_S)
            try:
                if self._accounts.has_changed():
                    self._check_accounts()
            except BrokerError:
                logger.exception("accounts not checked")

    # -- inside

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
                self.unsubscribe(session, name)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

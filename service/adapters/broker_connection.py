"""One client's connection to the embedded broker: reads its packets and says what they mean for it."""

import asyncio
import logging
from typing import Protocol

from service.adapters import broker_packets as packets
from service.adapters.broker_packets import Connect, Kind, Message, PacketError, Refusal
from service.adapters.broker_rights import HOME, Home, may_publish, may_subscribe
from service.adapters.broker_session import Session
from service.domain.errors import BrokerError

CONNECT_TIMEOUT_S = 10.0  # a stranger's time to say who it is
KEEP_ALIVE_GRACE = 1.5  # section 3.1.2.10
MAX_UNSENT_BYTES = 1 << 20  # a client that reads too slowly is closed; its session keeps what it has not acknowledged
MAX_CONNECT_BYTES = 4096  # before anybody has shown a password
# Home Assistant asks for 500 topics in one packet, and is sent what is kept of all devices at once.
MAX_PACKET_BYTES_OF_HOME = 64 << 10
MAX_UNSENT_BYTES_OF_HOME = 64 << 20

logger = logging.getLogger(__name__)


class Hub(Protocol):
    """The broker, as one connection sees it."""

    max_packet_bytes: int
    home: Home | None

    def proof(self, user: str, password: bytes) -> bytes | None:
        """None when they are not right. Raises: BrokerError."""

    def may_connect(self, user: str, client: str) -> bool:
        """Whether this client id disturbs nobody else. Raises: BrokerError."""

    def join(self, connection: "Connection", *, clean: bool) -> tuple[Session, bool]:
        """The session, and whether it was there before. Closes an older connection of this client."""

    def leave(self, connection: "Connection") -> None:
        """Safe to repeat, and to call without having joined."""

    async def post(self, message: Message, connection: "Connection | None", packet_id: int) -> None:
        """Have it kept, sent on, and acknowledged to `connection`, in this order."""

    def subscribe(self, session: Session, name: str, qos: int) -> bool:
        """False when it has too many."""

    def unsubscribe(self, session: Session, name: str) -> None: ...

    def send_retained(self, session: Session, name: str) -> None: ...


class Connection:
    """From CONNECT to the end. Rights are checked here, before anything reaches the broker."""

    def __init__(self, hub: Hub, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hub = hub
        self._reader = reader
        self._writer = writer
        self._session: Session | None = None
        self._timeout_s: float | None = None
        self.client = self.user = ""
        self.proof = b""
        self.will: Message | None = None

    async def run(self) -> None:
        """Returns when the client is gone, for whatever reason."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                is_welcome = await self._connect()
            while is_welcome and await self._serve_one():
                pass
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            logger.debug("client gone", extra={"client": self.client})
        except PacketError as error:
            logger.info("client closed for a wrong packet", extra={"client": self.client, "reason": str(error)})
        except BrokerError:
            logger.exception("client not served")
        finally:
            self._hub.leave(self)
            self.close()

    def send(self, data: bytes) -> None:
        """To nobody once the connection closes: what is acknowledged was written to the disk meanwhile."""
        if self._writer.transport.is_closing():
            return
        self._writer.write(data)
        most = MAX_UNSENT_BYTES_OF_HOME if self.user == HOME else MAX_UNSENT_BYTES
        if self._writer.transport.get_write_buffer_size() > most:
            logger.warning("client closed for reading too slowly", extra={"client": self.client})
            self._writer.transport.abort()

    def acknowledge(self, packet_id: int) -> None:
        self.send(packets.acknowledge(Kind.PUBACK, packet_id))

    def close(self) -> None:
        # Once: closed twice, a transport of asyncio's TLS has lost what it would need to write or to close.
        if not self._writer.transport.is_closing():
            self._writer.close()

    # -- inside

    async def _connect(self) -> bool:
        kind, _, body = await self._read(MAX_CONNECT_BYTES)
        if kind is not Kind.CONNECT:
            raise PacketError("the first packet is not CONNECT")
        said = Connect.decode(body)
        refusal = said if isinstance(said, Refusal) else self._refusal(said)
        if isinstance(said, Refusal) or refusal is not None:
            self.send(packets.connack(refusal=refusal))
            return False
        self.client, self.user, self.will = said.client, said.user, said.will
        self._timeout_s = said.keep_alive_s * KEEP_ALIVE_GRACE or None
        self._session, is_old = self._hub.join(self, clean=said.clean)
        self.send(packets.connack(session_present=is_old))
        self._session.attach(self.send)
        return True

    def _refusal(self, said: Connect) -> Refusal | None:
        # Everything is decided here, before any session is touched: a stranger must not disturb a client by its name.
        proof = self._hub.proof(said.user, said.password)
        if proof is None or not self._hub.may_connect(said.user, said.client):
            logger.info("client refused", extra={"user": said.user[:80], "client": said.client[:80]})
            return Refusal.NOT_AUTHORIZED
        if said.will is not None and not may_publish(said.user, said.will.topic, self._hub.home):
            logger.warning("last will refused", extra={"user": said.user, "topic": said.will.topic[:200]})
            return Refusal.NOT_AUTHORIZED
        self.proof = proof
        return None

    async def _serve_one(self) -> bool:
        most = MAX_PACKET_BYTES_OF_HOME if self.user == HOME else self._hub.max_packet_bytes
        async with asyncio.timeout(self._timeout_s):
            kind, flags, body = await self._read(most)
        assert self._session is not None
        match kind:
            case Kind.PUBLISH:
                await self._publish(*packets.decode_publish(flags, body))
            case Kind.PUBACK:
                self._session.acknowledged(packets.decode_puback(body))
            case Kind.SUBSCRIBE:
                self._subscribe(self._session, *packets.decode_subscribe(body))
            case Kind.UNSUBSCRIBE:
                packet_id, names = packets.decode_unsubscribe(body)
                for name in names:
                    self._hub.unsubscribe(self._session, name)
                self.send(packets.acknowledge(Kind.UNSUBACK, packet_id))
            case Kind.PINGREQ:
                self.send(packets.encode(Kind.PINGRESP))
            case Kind.DISCONNECT:
                self.will = None
                return False
            case _:
                raise PacketError(f"{kind.name} is not for a client to send now")
        return True

    async def _publish(self, packet_id: int, message: Message) -> None:
        if may_publish(self.user, message.topic, self._hub.home):
            await self._hub.post(message, self, packet_id)
            return
        # MQTT 3.1.1 knows no refusal here (section 3.3.5): acknowledge and drop, as other brokers do.
        logger.warning("message refused", extra={"user": self.user, "topic": message.topic[:200]})
        if packet_id:
            self.acknowledge(packet_id)

    def _subscribe(self, session: Session, packet_id: int, wanted: list[tuple[str, int]]) -> None:
        codes = []
        for name, qos in wanted:
            granted = min(qos, 1)
            is_granted = may_subscribe(self.user, name, self._hub.home) and self._hub.subscribe(session, name, granted)
            codes.append(granted if is_granted else packets.SUBSCRIPTION_FAILED)
            if not is_granted:
                logger.warning("subscription refused", extra={"user": self.user, "filter": name[:200]})
        self.send(packets.acknowledge(Kind.SUBACK, packet_id, bytes(codes)))
        for (name, _), code in zip(wanted, codes, strict=True):
            if code != packets.SUBSCRIPTION_FAILED:
                self._hub.send_retained(session, name)

    async def _read(self, max_bytes: int) -> tuple[Kind, int, bytes]:
        first = (await self._reader.readexactly(1))[0]
        length = shift = 0
        for _ in range(packets.MAX_LENGTH_BYTES):
            digit = (await self._reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                break
        else:
            raise PacketError("the length of the packet does not end")
        kind = packets.check_flags(first >> 4, first & 0x0F)
        if length > max_bytes:
            raise PacketError(f"a packet of {length} bytes is over the limit of {max_bytes}")
        return kind, first & 0x0F, await self._reader.readexactly(length)

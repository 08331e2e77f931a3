"""MQTT 3.1.1 packets: bytes to values and back, no I/O (OASIS MQTT Version 3.1.1; section numbers are of it)."""

import enum
import struct
from dataclasses import dataclass, field
from typing import Self

MAX_LENGTH_BYTES = 4  # of the variable length field, section 2.2.3


class Kind(enum.IntEnum):
    """Section 2.2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Refusal(enum.IntEnum):
    """Section 3.2.2.3."""

    PROTOCOL_VERSION = 1
    NOT_AUTHORIZED = 5


SUBSCRIPTION_FAILED = 0x80  # section 3.9.3
_FLAGS = {Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}  # section 2.2.2; PUBLISH has its own, the rest have none


class PacketError(Exception):
    """Not MQTT 3.1.1, or a part of it that this broker does not speak: close the connection."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise PacketError("the packet ends too early")
        part, self._at = self._data[self._at : end], end
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def short(self) -> int:
        return int(struct.unpack("!H", self.take(2))[0])

    def block(self) -> bytes:
        return self.take(self.short())

    def text(self) -> str:
        try:
            text = self.block().decode()
        except UnicodeDecodeError as error:
            raise PacketError("a string is not UTF-8") from error
        if "\0" in text:
            raise PacketError("a string holds U+0000")  # section 1.5.3
        return text

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def is_done(self) -> bool:
        return self._at == len(self._data)


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def is_clear(self) -> bool:
        """A retained message without payload removes the one that is there (section 3.3.1.3)."""
        return self.retain and not self.payload


@dataclass(frozen=True, slots=True)
class Connect:
    """Section 3.1."""

    client: str
    clean: bool
    keep_alive_s: int
    user: str
    password: bytes = field(repr=False)
    will: Message | None

    @classmethod
    def decode(cls, body: bytes) -> Self | Refusal:
        cursor = _Cursor(body)
        name, level, flags, keep_alive_s = cursor.text(), cursor.byte(), cursor.byte(), cursor.short()
        if (name, level) != ("MQTT", 4):
            return Refusal.PROTOCOL_VERSION
        has_will, qos = bool(flags & 0x04), flags >> 3 & 3
        if flags & 0x01 or qos == 3 or (not has_will and flags & 0x38) or flags & 0xC0 == 0x40:
            raise PacketError("the flags of CONNECT contradict each other")
        client = cursor.text()
        will = None
        if has_will:
            topic, payload = _topic(cursor.text()), cursor.block()
            will = Message(topic, payload, min(qos, 1), bool(flags & 0x20))
        user = cursor.text() if flags & 0x80 else ""
        password = cursor.block() if flags & 0x40 else b""
        if not cursor.is_done():
            raise PacketError("CONNECT has more than it should")
        return cls(client, bool(flags & 0x02), keep_alive_s, user, password, will)


def check_flags(kind: int, flags: int) -> Kind:
    """What came, when a client may send it. Raises: PacketError."""
    try:
        known = Kind(kind)
    except ValueError as error:
        raise PacketError(f"packets of kind {kind} are not spoken here") from error
    if known is not Kind.PUBLISH and flags != _FLAGS.get(known, 0):
        raise PacketError(f"{known.name} has wrong flags")
    return known


def decode_publish(flags: int, body: bytes) -> tuple[int, Message]:
    """The packet id, 0 for QoS 0, and the message."""
    qos = flags >> 1 & 3
    if qos > 1:
        raise PacketError("QoS 2 is not spoken here")
    cursor = _Cursor(body)
    topic = _topic(cursor.text())
    packet_id = cursor.short() if qos else 0
    if qos and not packet_id:
        raise PacketError("a packet id is never 0")
    return packet_id, Message(topic, cursor.rest(), qos, bool(flags & 1))


def decode_puback(body: bytes) -> int:
    return _Cursor(body).short()


def decode_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """The packet id, and every filter with the greatest QoS that is wanted."""
    cursor = _Cursor(body)
    packet_id = cursor.short()
    wanted = []
    while not cursor.is_done():
        name, qos = cursor.text(), cursor.byte()
        if qos > 2:
            raise PacketError("there is no such QoS")
        wanted.append((name, qos))
    if not wanted:
        raise PacketError("SUBSCRIBE without a filter")
    return packet_id, wanted


def decode_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    cursor = _Cursor(body)
    packet_id = cursor.short()
    names = []
    while not cursor.is_done():
        names.append(cursor.text())
    return packet_id, names


def encode(kind: Kind, body: bytes = b"", *, flags: int = 0) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def connack(*, session_present: bool = False, refusal: Refusal | None = None) -> bytes:
    return encode(Kind.CONNACK, bytes([session_present and refusal is None, refusal or 0]))


def acknowledge(kind: Kind, packet_id: int, codes: bytes = b"") -> bytes:
    """PUBACK, SUBACK or UNSUBACK."""
    return encode(kind, struct.pack("!H", packet_id) + codes)


def publish(message: Message, packet_id: int, *, is_again: bool = False) -> bytes:
    topic = message.topic.encode()
    head = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", packet_id) if message.qos else b"")
    flags = (8 if is_again else 0) | message.qos << 1 | message.retain
    return encode(Kind.PUBLISH, head + message.payload, flags=flags)


def matches(name: str, topic: str) -> bool:
    """Whether a topic is in a filter (section 4.7). What begins with `$` is in no wildcard's reach."""
    levels, parts = name.split("/"), topic.split("/")
    if topic.startswith("$") and levels[0] in ("#", "+"):
        return False
    for at, level in enumerate(levels):
        if level == "#":
            return at == len(levels) - 1
        if at >= len(parts) or level not in ("+", parts[at]):
            return False
    return len(levels) == len(parts)


def _topic(topic: str) -> str:
    if not topic or "+" in topic or "#" in topic:
        raise PacketError("a topic that one publishes to has a name and no wildcard")
    return topic

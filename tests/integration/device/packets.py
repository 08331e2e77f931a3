"""What a broker says, as bytes (MQTT 3.1.1)."""

CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x01\x01"
PUBACK = b"\x40\x02\x00\x01"  # of the agent's first publication, which is `alive`
PINGRESP = b"\xd0\x00"


def text(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw


def packet(kind: int, body: bytes, *, size: int | None = None) -> bytes:
    """A packet, whose length may be a lie."""
    left = len(body) if size is None else size
    head = bytes([kind])
    while left > 127:
        head += bytes([left & 127 | 128])
        left >>= 7
    return head + bytes([left]) + body


def publication(payload: bytes, *, topic: str = "desired", pid: int = 7, kind: int = 0x32) -> bytes:
    """A message for d1; `kind` 0x30 is QoS 0, without an id."""
    number = pid.to_bytes(2, "big") if kind & 6 else b""
    return packet(kind, text(f"kiln/v1/d1/{topic}") + number + payload)

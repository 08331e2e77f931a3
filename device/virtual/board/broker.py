# An MQTT 3.1.1 broker of one device, in memory (OASIS standard, section numbers below). It knows
# what a device may do: subscribe, publish with QoS 1, say goodbye.


class Broker:
    """`retained` are messages by topic, `heard` what the device published: (topic, bytes).

    `published` is called for each publication.
    """

    def __init__(self, published):
        self.retained = {}
        self.token = None  # the password that a device must have; None: any
        self._published = published

    def serve(self, sock):
        """Answer all whole packets that `sock` sent."""
        while True:
            packet = _packet(sock.sent)
            if packet is None:
                return
            kind, body, used = packet
            sock.sent = sock.sent[used:]
            self._answer(sock, kind, body)

    def _answer(self, sock, kind, body):
        if kind & 0xF0 == 0x10:
            good = self.token is None or _texts(body)[-1] == self.token.encode()
            sock.give(b"\x20\x02\x00" + (b"\x00" if good else b"\x05"))
            sock.ended = not good
        elif kind == 0x82:
            self._subscribe(sock, body)
        elif kind & 0xF0 == 0x30:
            size = body[0] << 8 | body[1]
            topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
            if kind & 0x06:
                sock.give(b"\x40\x02" + rest[:2])
                rest = rest[2:]
            self._published(topic, rest)
        elif kind == 0xC0:
            sock.give(b"\xd0\x00")
        elif kind == 0xE0:
            sock.ended = True

    def _subscribe(self, sock, body):
        at, topics = 2, []
        while at < len(body):
            size = body[at] << 8 | body[at + 1]
            topics.append(body[at + 2 : at + 2 + size].decode())
            at += size + 3
        sock.give(bytes((0x90, 2 + len(topics))) + body[:2] + b"\x01" * len(topics))
        for topic in topics:
            if topic in self.retained:
                sock.give(publication(topic, self.retained[topic]))


def publication(topic, content):
    """A retained message of QoS 1 as the broker sends it (3.3)."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00\x07" + content
    head, size = b"\x33", len(body)
    while size > 127:
        head += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return head + bytes((size,)) + body


def _packet(raw):
    # (kind, body, bytes used) of the first packet in `raw` (2.2.3), None while it is not whole.
    size, at = 0, 1
    while True:
        if at >= len(raw):
            return None
        size |= (raw[at] & 0x7F) << 7 * (at - 1)
        at += 1
        if raw[at - 1] < 128:
            break
    if len(raw) < at + size:
        return None
    return raw[0], raw[at : at + size], at + size


def _texts(body):
    # Client id, will and credentials of a CONNECT, which all come after ten fixed bytes (3.1).
    at, found = 10, []
    while at < len(body):
        size = body[at] << 8 | body[at + 1]
        found.append(body[at + 2 : at + 2 + size])
        at += size + 2
    return found

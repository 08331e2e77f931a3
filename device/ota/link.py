# A minimal MQTT 3.1.1 client (OASIS standard, section numbers below). One state machine that waits
# for nothing but a DNS query: poll() moves it on from wait loops, or from that of an application.
from micropython import const

from ota import app, hal

_DOWN = const(0)
_GREETING = const(1)  # TCP, TLS, CONNECT: ota/greet.py
_SUBSCRIBING = const(2)
_UP = const(3)

_STEP_MS = const(10000)  # longest wait for any answer of the broker
_PING_MS = const(30000)  # half of what greet.py promises
_BACKOFF_MS = const(1000)  # doubled for each failure in a row
_BACKOFF_LIMIT_MS = const(120000)
_PACKET_LIMIT = const(1280)  # bytes kept of a packet: a desired state (1,024) and its topic
_SKIP_LIMIT = const(0x40000)  # bytes: what is larger than this is not even read to its end
_PACKETS_A_POLL = const(8)
_READS_A_POLL = const(64)  # an endless packet may not hold the application up
_QUEUE_LIMIT = const(16)  # packets that the broker did not take yet
_GOODBYE_MS = const(1000)


class Link:
    """The device's line to its broker. `device` is device.json's dict."""

    def __init__(self, device):
        self._device = device
        self._topic = "kiln/v1/" + device["id"] + "/"
        self._buffer = memoryview(bytearray(_PACKET_LIMIT))
        self._greeting = None  # the errand that connects
        self._line = None
        self._queue = []  # packets to send, the first one perhaps in part
        self._state = _DOWN
        self._since = self._sent = hal.ticks_ms()
        self._pause = 0
        self._failures = 0
        self._pid = 0
        self._large = False  # the line was left because of a packet
        self.awaited = 0  # packet id of the publication not yet acknowledged, 0 if none
        self.greeted = 0  # connections made so far
        self.asked = False  # somebody asks for the log; whoever answers sets it back
        self._rewind()

    def up(self):
        return self._state == _UP

    def quiet(self):
        """Whether a publication may be sent now."""
        return self._state == _UP and not self.awaited

    def poll(self):
        """Move on. Returns a desired state's bytes (b"" for one that is too large), or None.

        Never waits longer than a DNS query takes. A lost line is not an error: it comes back.
        """
        try:
            return self._step()
        except (
            OSError,
            ValueError,
            MemoryError,
        ) as e:  # ValueError: TLS does not believe the broker
            self._drop(e)
        large, self._large = self._large, False
        return b"" if large else None

    def publish(self, what, text, retain=False):
        """Send `text` on this device's topic `what`, QoS 1; `awaited` is 0 after the answer."""
        self._pid = self._pid % 0xFFFF + 1
        self.awaited = self._pid
        self._since = hal.ticks_ms()
        body = _text(self._topic + what) + self._pid.to_bytes(2, "big") + text.encode()
        try:
            self._send(0x33 if retain else 0x32, body)
        except OSError as e:
            self._drop(e)

    def close(self):
        """Say goodbye; the broker keeps the last will to itself, so `alive` is taken back here."""
        if self._state == _UP:
            self.publish("alive", "0", True)
            start = hal.ticks_ms()
            try:
                self._send(0xE0, b"")
                while self._queue and hal.ticks_diff(hal.ticks_ms(), start) < _GOODBYE_MS:
                    hal.sleep_ms(10)
                    self._flush()
            except OSError:
                pass
        self._drop(None)

    def _step(self):
        waited = hal.ticks_diff(hal.ticks_ms(), self._since)
        if self._state == _DOWN:
            if waited >= self._pause:
                from ota import greet

                self._greeting = greet.greet(self._device)
                self._go(_GREETING)
            return None
        if self._state == _GREETING:
            self._connect()
        else:
            self._flush()
            found = self._receive()
            if found is not None:
                return found
        if (self._state != _UP or self.awaited) and waited > _STEP_MS:
            raise OSError("broker does not answer")
        if hal.ticks_diff(hal.ticks_ms(), self._sent) > _PING_MS and self._state == _UP:
            if self._pinged:
                raise OSError("broker went silent")
            self._pinged = True
            self._send(0xC0, b"")
        return None

    def _connect(self):
        try:
            next(self._greeting)
        except StopIteration as e:
            self._line = e.value
            self._greeting = None
            app.forget("greet", "net", "tls")
            self._sent = hal.ticks_ms()
            self._go(_SUBSCRIBING)

    def _receive(self):
        for _ in range(_PACKETS_A_POLL):
            kind = self._packet()
            if kind is None:
                return None
            found = self._take(kind & 0xF0, self._need)
            self._rewind()
            if found is not None:
                return found
        return None

    def _packet(self):
        # The kind of the packet that is now complete in the buffer, or None: more has to come.
        while self._head < 5:
            if not self._read(0, 1):
                return None
            byte = self._buffer[0]
            if self._head == 0:
                self._kind = byte
                self._head = 1
                continue
            # 2.2.3: seven bits a byte, at most four bytes.
            self._need |= (byte & 0x7F) << 7 * (self._head - 1)
            self._head = 5 if byte < 128 else self._head + 1
            if self._head == 5 and byte >= 128:
                raise OSError("malformed length")
        if self._need > _SKIP_LIMIT:
            self._large = True
            raise OSError("packet of %d bytes" % self._need)
        for _ in range(_READS_A_POLL):
            if self._have == self._need:
                return self._kind
            # What does not fit is read and forgotten, the first bytes stay.
            at = min(self._have, _PACKET_LIMIT - 64)
            n = self._read(at, min(self._need - self._have, _PACKET_LIMIT - at))
            if not n:
                return None
            self._have += n
        return self._kind if self._have == self._need else None

    def _read(self, at, size):
        # Bytes read into the buffer, None where none came yet.
        n = self._line.readinto(self._buffer[at : at + size])
        if n == 0:
            raise OSError("broker closed the connection")
        return n

    def _take(self, kind, size):
        self._pinged = False
        body = self._buffer[: min(size, _PACKET_LIMIT)]
        if kind == 0x90 and self._state == _SUBSCRIBING:
            # A broker that keeps `ask` to itself is good enough.
            if size != 4 or body[2] == 0x80:
                raise OSError("broker refuses the subscription")
            self.greeted += 1
            self._go(_UP)
            self.publish("alive", "1", True)
        elif kind == 0x40 and self._state == _UP:
            if size == 2 and (body[0] << 8 | body[1]) == self.awaited:
                self.awaited = 0
                # Only now: what a broker sends before may be what ended the line the last time.
                self._failures = 0
        elif kind == 0x30:
            return self._message(body, size)
        elif kind != 0xD0:
            raise OSError("unexpected packet %d" % kind)
        return None

    def _message(self, body, size):
        # 3.3: topic, packet id where QoS is not 0, payload.
        at = 2 + (body[0] << 8 | body[1]) if size >= 2 else _PACKET_LIMIT
        qos = self._kind >> 1 & 3
        if at + 2 * qos > len(body) or qos > 1:
            raise OSError("malformed publication")
        topic = bytes(body[2:at])
        if qos:
            self._send(0x40, bytes(body[at : at + 2]))
            at += 2
        if topic == self._topic.encode() + b"ask":
            self.asked = self.asked or bytes(body[at : at + 4]) == b"log"
        # Empty: the retained desired state was taken back, which asks for nothing.
        if topic != self._topic.encode() + b"desired" or size == at:
            return None
        return bytes(body[at:]) if size < _PACKET_LIMIT - 64 else b""

    def _send(self, kind, body):
        if len(self._queue) == _QUEUE_LIMIT:
            raise OSError("broker does not read")
        size = len(body)
        head = bytes((kind,))
        while size > 127:
            head += bytes((size & 0x7F | 0x80,))
            size >>= 7
        self._queue.append(memoryview(head + bytes((size,)) + body))
        self._sent = hal.ticks_ms()
        self._flush()

    def _flush(self):
        # TLS wants what it could not take once more as it was, so packets are never joined.
        while self._queue:
            n = self._line.write(self._queue[0])
            if not n:
                return
            rest = self._queue.pop(0)[n:]
            if rest:
                self._queue.insert(0, rest)

    def _go(self, state):
        self._state = state
        self._since = hal.ticks_ms()

    def _rewind(self):
        self._head = self._kind = self._need = self._have = 0
        self._pinged = False

    def _drop(self, error):
        if error is not None:
            hal.log("broker:", *error.args)
        if self._greeting is not None:
            self._greeting.close()  # and with it a socket that is not ready yet
            app.forget("greet", "net", "tls")
        if self._line is not None:
            self._line.close()
        self._greeting = self._line = None
        self._queue = []
        self.awaited = 0
        self._rewind()
        self._failures = min(self._failures + 1, 8)
        pause = min(_BACKOFF_MS << self._failures - 1, _BACKOFF_LIMIT_MS)
        self._pause = pause // 2 + hal.jitter(pause // 2)
        self._go(_DOWN)


def _text(value):
    # 1.5.3: two bytes of length, then UTF-8.
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw

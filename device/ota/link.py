# A minimal MQTT 3.1.1 client (OASIS standard, section numbers below). One state machine that never
# waits: poll() moves it on, from an application's loop or from wait loops with a deadline.
import select
import socket

from micropython import const

from ota import hal

_DOWN = const(0)
_CONNECTING = const(1)  # TCP
_GREETING = const(2)  # CONNECT sent, CONNACK awaited
_SUBSCRIBING = const(3)
_UP = const(4)

_STEP_MS = const(8000)  # longest wait for any answer of the broker
_KEEPALIVE_S = const(60)
_BACKOFF_MS = const(1000)  # doubled for each failure in a row
_BACKOFF_LIMIT_MS = const(120000)
_PACKET_LIMIT = const(1280)  # bytes kept of a packet: a desired state (1,024) and its topic
_PACKETS_A_POLL = const(8)
_READS_A_POLL = const(64)  # an endless packet may not hold the application up
_WRITE_TIMEOUT_S = const(5)
_IN_PROGRESS = (11, 36, 114, 115, 119)  # EAGAIN, EINPROGRESS and EALREADY of the ports


class Link:
    """The device's line to its broker. `device` is device.json's dict."""

    def __init__(self, device):
        self._host = device["mqtt"]["host"]
        self._port = device["mqtt"]["port"]
        self._id = device["id"]
        self._token = device["token"]
        self._topic = "kiln/v1/" + device["id"] + "/"
        self._desired = (self._topic + "desired").encode()
        self._buffer = memoryview(bytearray(_PACKET_LIMIT))
        self._sock = None
        self._poller = None
        self._state = _DOWN
        self._since = hal.ticks_ms()
        self._pause = 0
        self._failures = 0
        self._pid = 0
        self.awaited = 0  # packet id of the publication not yet acknowledged, 0 if none
        self.greeted = 0  # connections made so far
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
        except OSError as e:
            self._drop(e)
        return None

    def publish(self, what, text, retain=False):
        """Send `text` on this device's topic `what`, QoS 1; `awaited` is 0 after the answer."""
        self._pid = self._pid % 0xFFFF + 1
        self.awaited = self._pid
        body = _text(self._topic + what) + self._pid.to_bytes(2, "big") + text.encode()
        try:
            self._send(0x33 if retain else 0x32, body)
        except OSError as e:
            self._drop(e)

    def close(self):
        """Say goodbye; the broker keeps the last will to itself, so `alive` is taken back here."""
        if self._state == _UP:
            self.publish("alive", "0", True)
            try:
                self._send(0xE0, b"")
            except OSError:
                pass
        self._drop(None)

    def _step(self):
        waited = hal.ticks_diff(hal.ticks_ms(), self._since)
        if self._state == _DOWN:
            if waited >= self._pause:
                self._open()
            return None
        if self._state == _CONNECTING:
            self._connected()
        elif self._poller.poll(0):
            found = self._receive()
            if found is not None:
                return found
        if (self._state != _UP or self.awaited) and waited > _STEP_MS:
            raise OSError("broker does not answer")
        if self._state == _UP and waited > _KEEPALIVE_S * 500:
            if self._pinged:
                raise OSError("broker went silent")
            self._pinged = True
            self._send(0xC0, b"")
        return None

    def _open(self):
        address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0][-1]
        self._sock = socket.socket()
        self._sock.setblocking(False)
        self._poller = select.poll()
        self._poller.register(self._sock, select.POLLOUT)
        self._go(_CONNECTING)
        try:
            self._sock.connect(address)
        except OSError as e:
            if e.args[0] not in _IN_PROGRESS:
                raise

    def _connected(self):
        for _, event in self._poller.ipoll(0):
            if event & (select.POLLERR | select.POLLHUP):
                raise OSError("broker refuses the connection")
            self._poller.modify(self._sock, select.POLLIN)
            # 3.1: user name, password, retained will of QoS 1, clean session.
            flags = 0x80 | 0x40 | 0x20 | 0x08 | 0x04 | 0x02
            body = _text("MQTT") + bytes((4, flags, 0, _KEEPALIVE_S)) + _text(self._id)
            body += _text(self._topic + "alive") + _text("0")
            body += _text(self._id) + _text(self._token)
            self._go(_GREETING)
            self._send(0x10, body)

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
            n = self._sock.readinto(self._buffer[:1])
            if n is None:
                return None
            if n == 0:
                raise OSError("broker closed the connection")
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
        for _ in range(_READS_A_POLL):
            if self._have == self._need:
                return self._kind
            # What does not fit is read and forgotten, the first bytes stay.
            at = min(self._have, _PACKET_LIMIT - 64)
            room = self._buffer[at : at + min(self._need - self._have, _PACKET_LIMIT - at)]
            n = self._sock.readinto(room)
            if n is None:
                return None
            if n == 0:
                raise OSError("broker closed the connection")
            self._have += n
        return self._kind if self._have == self._need else None

    def _take(self, kind, size):
        self._pinged = False
        body = self._buffer[: min(size, _PACKET_LIMIT)]
        if kind == 0x20 and self._state == _GREETING:
            if size != 2 or body[1] != 0:
                raise OSError("broker says no: %d" % (body[1] if size == 2 else -1))
            self._go(_SUBSCRIBING)
            self._send(0x82, b"\x00\x01" + _text(self._desired) + b"\x01")
        elif kind == 0x90 and self._state == _SUBSCRIBING:
            if size != 3 or body[2] == 0x80:
                raise OSError("broker refuses the subscription")
            self._failures = 0
            self.greeted += 1
            self._go(_UP)
            self.publish("alive", "1", True)
        elif kind == 0x40 and size == 2 and (body[0] << 8 | body[1]) == self.awaited:
            self.awaited = 0
            self._since = hal.ticks_ms()
        elif kind == 0x30:
            return self._message(body, size)
        return None

    def _message(self, body, size):
        # 3.3: topic, packet id where QoS is not 0, payload.
        at = 2 + (body[0] << 8 | body[1]) if size >= 2 else _PACKET_LIMIT
        ours = at <= len(body) - 2 and bytes(body[2:at]) == self._desired
        if self._kind & 0x06:
            if at > len(body) - 2:
                raise OSError("malformed publication")
            self._send(0x40, bytes(body[at : at + 2]))
            at += 2
        if not ours:
            return None
        # Empty: the retained desired state was taken back, which asks for nothing.
        if size == at:
            return None
        return bytes(body[at:]) if size < _PACKET_LIMIT - 64 else b""

    def _send(self, kind, body):
        size = len(body)
        head = bytes((kind,))
        while size > 127:
            head += bytes((size & 0x7F | 0x80,))
            size >>= 7
        self._sock.settimeout(_WRITE_TIMEOUT_S)
        try:
            self._sock.write(head + bytes((size,)) + body)
        finally:
            self._sock.setblocking(False)
        self._since = hal.ticks_ms()

    def _go(self, state):
        self._state = state
        self._since = hal.ticks_ms()

    def _rewind(self):
        self._head = self._kind = self._need = self._have = 0
        self._pinged = False

    def _drop(self, error):
        if error is not None:
            hal.log("broker:", *error.args)
        if self._sock is not None:
            self._sock.close()
            self._sock = self._poller = None
        self.awaited = 0
        self._rewind()
        self._failures = min(self._failures + 1, 7)
        pause = min(_BACKOFF_MS << self._failures - 1, _BACKOFF_LIMIT_MS)
        self._pause = pause // 2 + hal.jitter(pause // 2)
        self._go(_DOWN)


def _text(value):
    # 1.5.3: two bytes of length, then UTF-8.
    raw = value if isinstance(value, bytes) else value.encode()
    return len(raw).to_bytes(2, "big") + raw

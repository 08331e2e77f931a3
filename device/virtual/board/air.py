# A network in memory: what the agent takes for `socket` and `select`. Behind it are a broker and a
# server, played by `broker.py` and `server.py`, which answer at once.
_POLLIN, _POLLOUT, _POLLERR, _POLLHUP = 1, 4, 8, 16
_REFUSED = 111  # ECONNREFUSED


class Network:
    """The modules `socket` and `select`. `services` are functions of a socket, by (host, port)."""

    AF_INET = 2
    SOCK_STREAM = 1
    SOL_SOCKET = 1
    SO_REUSEADDR = 2
    POLLIN, POLLOUT, POLLERR, POLLHUP = _POLLIN, _POLLOUT, _POLLERR, _POLLHUP

    def __init__(self, time):
        self.services = {}
        self._time = time

    def getaddrinfo(self, host, port, *_):
        return [(2, 1, 0, "", (host, port))]

    def socket(self, *_):
        return Socket(self)

    def poll(self):
        return Poller(self._time)


class Socket:
    """One connection. The service reads from `sent`, gives, and ends."""

    def __init__(self, network):
        self._network = network
        self._service = None
        self.sent = b""
        self._inbox = b""
        self._at = 0  # read so far; cutting the inbox would copy a bundle with every read
        self.ended = False  # the service sends no more

    def give(self, content):
        """What the service sends."""
        self._inbox = self._inbox[self._at :] + content if self._left() else content
        self._at = 0

    def connect(self, address):
        service = self._network.services.get(address)
        if service is None:
            raise OSError(_REFUSED)
        self._service = service

    def settimeout(self, _seconds):
        pass

    def setblocking(self, _blocking):
        pass

    def setsockopt(self, *_):
        pass

    def write(self, content, *_):
        if self._service is None or self.ended:
            raise OSError(_REFUSED)
        self.sent += bytes(content)
        self._service(self)
        return len(content)

    send = sendall = write

    def read(self, limit=-1):
        if not self._left():
            return b"" if self.ended else None
        limit = self._left() if limit < 0 else limit
        part = self._inbox[self._at : self._at + limit]
        self._at += len(part)
        return part

    def recv(self, limit):
        part = self.read(limit)
        if part is None:
            raise OSError(11)  # EAGAIN
        return part

    def readinto(self, view, *_):
        part = self.read(len(view))
        if part is None:
            return None
        view[: len(part)] = part
        return len(part)

    def ready(self, wanted):
        """The events of `wanted` that hold now."""
        events = wanted & _POLLOUT
        if self._left() or self.ended:
            events |= wanted & _POLLIN
        return events

    def close(self):
        self._service = None
        self.ended = True
        self._inbox = b""

    def _left(self):
        return len(self._inbox) - self._at


class Poller:
    """select.poll()."""

    def __init__(self, time):
        self._time = time
        self._wanted = []

    def register(self, sock, events=_POLLIN | _POLLOUT):
        self.unregister(sock)
        self._wanted.append((sock, events))

    modify = register

    def unregister(self, sock):
        self._wanted = [entry for entry in self._wanted if entry[0] is not sock]

    def poll(self, timeout=-1):
        found = [(sock, sock.ready(events)) for sock, events in self._wanted]
        found = [entry for entry in found if entry[1]]
        if not found and timeout:
            self._time.sleep_ms(timeout if timeout > 0 else 1000)
        return found

    ipoll = poll

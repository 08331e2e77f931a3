# HTTP/1.1 (RFC 9110), as much as docs/ota.md, "Fetch" needs: one request a connection, answers of
# a known length, redirects by list. OSError: worth another attempt; RefusedError: a lie.
from micropython import const

from ota import hal, net
from ota.reason import RefusedError

_LINE_LIMIT = const(512)  # bytes of a header line
_LINES_LIMIT = const(48)
_REDIRECTS_LIMIT = const(3)
_WHOLE_MS = const(20000)  # one exchange with one base
_SILENCE_S = const(10)  # longest wait for an answer's head, and for bytes after it
_BAD_CERTIFICATE = const(-0x2700)  # of mbedTLS


def fetch(device, path, limit, body=None, known=True):
    """Errand: (status, bytes) of `path`, at most `limit` bytes, none with a status from 300 on.

    `body` (bytes) makes it a POST; without `known` the request does not say who asks. The base
    answers, else the recovery base. Raises RefusedError when none does.
    """
    failure = None
    for base in bases(device):
        try:
            whole = _whole(device, base, path, limit, body, known)
            found = yield from net.within(whole, _WHOLE_MS)
        except (OSError, RefusedError) as e:
            hal.log("http:", base, *e.args)
            failure = failure if type(failure) is tuple else e
            continue
        if found[0] < 300:
            return found
        failure = found
    if type(failure) is tuple:
        return failure
    raise failure if type(failure) is RefusedError else gone(failure)


def bases(device):
    """Where to ask, in order."""
    recovery = device.get("recovery")
    return [device["base"], recovery] if recovery else [device["base"]]


def gone(error):
    """The RefusedError for a network that did not work."""
    return RefusedError("download_failed", "no answer: " + repr(error))


def silence_ms(device):
    """Longest silence of a server; `stall_s` of device.json."""
    return int(device.get("stall_s", _SILENCE_S) * 1000)


def _whole(device, base, path, limit, body, known):
    answer = yield from ask(device, base, path, 0, body, known)
    try:
        if answer.status >= 300 or answer.status == 204:
            return answer.status, b""
        size = answer.size()
        if size > limit:
            raise RefusedError("too_large", "%d bytes of %s" % (size, path))
        raw = bytearray(size)
        view = memoryview(raw)
        while view:
            n = answer.readinto(view)
            if n is None:
                yield
            else:
                view = view[n:]
        return answer.status, bytes(raw)
    finally:
        answer.close()


def ask(device, base, path, at=0, body=None, known=True):
    """Errand: the Answer to a request for `path` from byte `at` on, its head read. Close it.

    Redirects are followed. Raises OSError or RefusedError.
    """
    url = base.rstrip("/") + path
    home = net.split(url)[1]
    for _ in range(_REDIRECTS_LIMIT + 1):
        tls, host, port, path = net.split(url)
        text = request(device if known and host == home else None, host, port, path, at, body)
        secure = device.get("tls") or {} if tls else None
        once = _once(host, port, secure, text, body)
        answer = yield from net.within(once, silence_ms(device))
        if answer.status not in (301, 302, 307, 308):
            return answer
        answer.close()
        if body is not None and answer.status < 307:
            raise RefusedError("download_failed", "a redirect that drops the body")
        url = follow(device, url, answer.location)
    raise RefusedError("download_failed", "too many redirects")


def follow(device, url, location):
    """The address that a redirect from `url` leads to, where it may be followed."""
    tls, host, port, _ = net.split(url)
    if location[:1] == "/" and location[:2] != "//":
        location = "http%s://%s:%d%s" % ("s" if tls else "", host, port, location)
    there = net.split(location)
    listed = "%s:%d" % there[1:3] in device.get("redirects", ())
    if there[:3] != (tls, host, port) and (not listed or (tls and not there[0])):
        raise RefusedError("download_failed", "redirect to " + location[:80])
    return location


def request(device, host, port, path, at, body):
    """The head of a request; without `device` it does not say who asks."""
    text = "%s %s HTTP/1.1\r\nHost: %s" % ("GET" if body is None else "POST", path or "/", host)
    text += ":%d\r\nConnection: close\r\n" % port
    if device is not None:
        text += "Authorization: Bearer %s\r\n" % device["token"]
        text += "X-Kiln-Device: %s\r\n" % device["id"]
    if at:
        text += "Range: bytes=%d-\r\n" % at
    if body is not None:
        text += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return text + "\r\n"


def _once(host, port, tls, text, body):
    line = yield from net.dial(host, port, tls)
    answer = Answer(line)
    try:
        yield from net.write(line, text.encode())
        if body:
            yield from net.write(line, body)
        yield from answer.head()
    except OSError as e:
        answer.close()
        if e.args and e.args[0] == _BAD_CERTIFICATE:
            raise RefusedError("download_failed", "certificate of " + host) from None
        raise
    except:  # also when the errand is given up
        answer.close()
        raise
    return answer


class Answer:
    """What came back on `line`: status, headers that matter, body."""

    def __init__(self, line):
        self._line = line
        self._spare = b""  # body bytes that came with the head
        self.status = 0
        self.length = None  # Content-Length as text, None where there is none
        self.span = b""  # Content-Range
        self.location = ""

    def close(self):
        self._line.close()

    def head(self):
        """Errand: read status line and headers."""
        words = (yield from self._text()).split(b" ", 2)
        good = len(words) > 1 and words[0][:7] == b"HTTP/1." and len(words[1]) == 3
        if not good or not words[1].isdigit():
            raise OSError("not HTTP")
        self.status = int(words[1])
        for _ in range(_LINES_LIMIT):
            line = yield from self._text()
            if not line:
                return
            self._header(line)
        raise RefusedError("download_failed", "too many header lines")

    def size(self):
        """Bytes of the body. Raises RefusedError where the answer does not say."""
        if self.length is None or not self.length.isdigit():
            raise RefusedError("download_failed", "no length")
        if len(self.length) > 10:
            raise RefusedError("too_large", "%d digits of length" % len(self.length))
        return int(self.length)

    def readinto(self, view):
        """Bytes read into `view`, None where none came yet. Raises OSError at the end."""
        if self._spare:
            n = min(len(view), len(self._spare))
            view[:n] = self._spare[:n]
            self._spare = self._spare[n:]
            return n
        n = self._line.readinto(view)
        if n == 0:
            raise OSError("closed")
        return n

    def _header(self, line):
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip()
        if name == b"content-length":
            if self.length is not None and self.length != value:
                raise RefusedError("download_failed", "two lengths")
            self.length = value
        elif name == b"content-range":
            self.span = value
        elif name == b"location":
            # Other characters than printable ones are refused with the address.
            self.location = "".join(chr(c) for c in value)
        elif name in (b"transfer-encoding", b"content-encoding") and value != b"identity":
            raise RefusedError("download_failed", "encoded answer")

    def _text(self):
        cut = self._spare.find(b"\n")
        while cut < 0:
            if len(self._spare) > _LINE_LIMIT:
                raise RefusedError("download_failed", "header line too long")
            got = self._line.read(64)
            if got == b"":
                raise OSError("closed")
            if got is None:
                yield
            else:
                self._spare += got
                cut = self._spare.find(b"\n")
        line = self._spare[:cut].rstrip(b"\r")
        self._spare = self._spare[cut + 1 :]
        return line

# HTTP/1.1 (RFC 9110), as much as docs/ota.md, "Fetch" needs: one request a connection, answers of
# a known length, redirects by list. OSError: worth another attempt; RefusedError: a lie.
from micropython import const

from ota import net
from ota.reason import RefusedError

_LINE_LIMIT = const(512)  # bytes of a header line
_LINES_LIMIT = const(48)
_REDIRECTS_LIMIT = const(3)
_SILENCE_S = const(10)  # longest wait for an answer's head


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
        answer = yield from net.within(once, device.get("stall_s", _SILENCE_S) * 1000)
        if answer.status not in (301, 302, 307, 308):
            return answer
        answer.close()
        from ota import redirect

        url = redirect.follow(device, url, answer, body)
    raise RefusedError("download_failed", "too many redirects")


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
    answer = Answer()
    try:
        answer.line = yield from net.dial(host, port, tls)
        yield from net.write(answer.line, text.encode())
        if body:
            yield from net.write(answer.line, body)
        yield from answer.head()
    except ValueError as e:
        # This is how TLS says that it does not believe the other side.
        answer.close()
        raise RefusedError("download_failed", host + ": " + str(e).strip()) from None
    except:  # also when the errand is given up
        answer.close()
        raise
    return answer


class Answer:
    """What came back on `line`: status and headers that matter. The body is next on the line."""

    def __init__(self):
        self.line = None
        self.status = 0
        self.length = None  # Content-Length as text, None where there is none
        self.span = b""  # Content-Range
        self.location = ""

    def close(self):
        if self.line is not None:
            self.line.close()

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
            self.location = bytes(c if c < 128 else 32 for c in value).decode()
        elif name in (b"transfer-encoding", b"content-encoding") and value != b"identity":
            raise RefusedError("download_failed", "encoded answer")

    def _text(self):
        # One byte at a time, so that what follows the head stays on the line.
        text = bytearray()
        byte = bytearray(1)
        while True:
            n = self.line.readinto(byte)
            if n == 0:
                raise OSError("closed")
            if n is None:
                yield
            elif byte == b"\n":
                return bytes(text).rstrip(b"\r")
            elif len(text) == _LINE_LIMIT:
                raise RefusedError("download_failed", "header line too long")
            else:
                text.extend(byte)

# The service's HTTP side in memory: files by path, with Range, and the faults of a bad line.
_NAMES = {200: "OK", 204: "No Content", 206: "Partial Content", 404: "Not Found", 416: "Range"}


class Server:
    """`files` are bodies by path (bytes, or a function of the query text that makes them).

    `faults` are applied in order, the first that fits: dicts with `path` (its beginning), `kind`,
    `at` (byte of the file) and `times`, which counts down. Kinds: `cut` ends the connection there,
    `stall` goes silent there, `flip` changes that byte, `gone` answers 404, `error` answers 503.
    """

    def __init__(self, asked, posted):
        self.files = {}
        self.faults = []
        self._asked = asked
        self._posted = posted

    def serve(self, sock):
        """Answer the request that `sock` sent, once it is whole."""
        end = sock.sent.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = sock.sent[:end].decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        if len(sock.sent) < end + 4 + size:
            return
        body, sock.sent = sock.sent[end + 4 : end + 4 + size], sock.sent[end + 4 + size :]
        method, path, _ = lines[0].split(" ")
        if method == "POST":
            self._asked("POST " + path)
            self._posted(path, body)
            _reply(sock, 204, b"", 0)
            return
        self._asked(" ".join((method, path, headers.get("range", ""))))
        self._get(sock, path, headers.get("range", ""))

    def _get(self, sock, path, span):
        fault = self._fault(path)
        content = self._find(path)
        if fault and fault["kind"] == "error":
            _reply(sock, 503, b"busy\n", 0)
            return
        if content is None or (fault and fault["kind"] == "gone"):
            _reply(sock, 404, b"no\n", 0)
            return
        start = int(span[6:-1]) if span else 0
        if start >= len(content) > 0:
            _reply(sock, 416, b"no\n", 0)
            return
        status = 204 if not content else 206 if start else 200
        if fault:
            _spoil(sock, fault, _answer(status, content, start), len(content), start)
        else:
            _reply(sock, status, content, start)

    def _find(self, path):
        content = self.files.get(path)
        if content is None and "?" in path:
            plain, query = path.split("?", 1)
            maker = self.files.get(plain)
            content = maker(query) if callable(maker) else None
        return content

    def _fault(self, path):
        for fault in self.faults:
            if fault["times"] and path.startswith(fault["path"]):
                fault["times"] -= 1
                return fault
        return None


def _reply(sock, status, content, start):
    sock.give(_answer(status, content, start))
    sock.ended = True


def _answer(status, content, start):
    head = "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n"
    head = head % (status, _NAMES.get(status, "Error"), len(content) - start)
    if status == 206:
        head += "Content-Range: bytes %d-%d/%d\r\n" % (start, len(content) - 1, len(content))
    return (head + "Connection: close\r\n\r\n").encode() + content[start:]


def _spoil(sock, fault, answer, size, start):
    # Where in the answer the byte `at` of the file is, or would have been.
    place = len(answer) - size + max(min(fault["at"], size), start)
    if fault["kind"] == "flip":
        raw = bytearray(answer)
        raw[min(place, len(raw) - 1)] ^= 0x10
        sock.give(bytes(raw))
    else:
        sock.give(answer[:place])
    sock.ended = fault["kind"] != "stall"

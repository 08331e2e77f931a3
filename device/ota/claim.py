# Enrolling with a one-time code (docs/ota.md, "Claim"): a board that has claim.json and no
# device.json. Imported for that alone. Until there is an answer this stands in for
# ota.agent.Agent, and what is installed already runs.
import binascii
import hashlib
import json
import os

from micropython import const

from ota import app, hal, state
from ota.nobody import Nobody
from ota.reason import RefusedError

_LIMIT = const(6144)  # bytes of an answer
_CBC = const(2)  # of cryptolib: the mode
_HEAD = const(23)  # bytes before what is encrypted: "KILNA1\n" and the IV
_MAC = const(32)  # bytes after it
_CONNECT_S = const(15)  # longest wait for an answer before the application starts
_AGAIN_S = const(5)  # before the next attempt, doubled each time
_AGAIN_LIMIT_S = const(900)
_POLL_MS = const(20)
_WRONG = {404: "the code is wrong or has expired", 409: "another board used this code"}


def begin(root):
    """Ask for an identity. What goes on asking, None where there is no code."""
    try:
        os.stat(root + "/kiln/device.json")
        kept = None  # it is there, and damaged: a code would make another device of this board
    except OSError:
        kept = state.read(root + "/kiln/claim.json")
    try:
        claim = Claim(root, kept)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as e:
        if kept is not None:
            hal.log("no claim:", repr(e))
        app.forget("claim")
        return None
    claim.wait()
    return claim


class Claim(Nobody):
    """The code, and the errand of using it."""

    def __init__(self, root, kept):
        self.folder = root + "/kiln/"
        self.done = False
        self._code = _plain(kept["code"]).encode()
        self._kept = kept
        self._errand = self._ask()
        if "seed" not in kept:
            # Written before it is sent: after a power cut this is still the board with that code.
            kept["seed"] = _hex(os.urandom(32))
            _replace(self.folder + "claim.json", kept)
        self._seed = binascii.unhexlify(kept["seed"])

    def wait(self):
        """Join the network and ask, for a while."""
        from ota import wifi

        wifi.join(state.read(self.folder + "settings.json") or {})
        start, limit = hal.ticks_ms(), self._kept.get("connect_s", _CONNECT_S) * 1000
        while hal.ticks_diff(hal.ticks_ms(), start) < limit:
            if wifi.online():
                self.tick()
            hal.sleep_ms(_POLL_MS)
        app.forget("wifi")

    def tick(self):
        if self.done:
            if not self.busy:
                hal.log("restart: this is a device now")
                hal.reset()
            return
        next(self._errand)

    def deepsleep(self, ms):
        if self.done:
            self.tick()
        super().deepsleep(ms)

    def _ask(self):
        pause = self._kept.get("again_s", _AGAIN_S)
        while True:
            try:
                self._keep(self._open((yield from self._fetch())))
                self.done = True
            except (RefusedError, OSError, ValueError, KeyError, TypeError, MemoryError) as e:
                hal.log("no identity:", *e.args)
            finally:
                app.forget("poll", "http", "net", "config")
            start = hal.ticks_ms()
            limit = pause * (1000 + hal.jitter(1000))
            while self.done or hal.ticks_diff(hal.ticks_ms(), start) < limit:
                yield
            pause = min(2 * pause, _AGAIN_LIMIT_S)

    def _fetch(self):
        from ota import poll

        kept = self._kept
        line = {"base": kept["base"], "redirects": [], "tls": kept.get("tls") or {}}
        proof = self._derived(b"proof", self._seed)
        said = {
            "claim": _hex(self._derived(b"name"))[:24],
            "seed": kept["seed"],
            "proof": _hex(proof),
        }
        own = state.read(self.folder + "settings.json") or {}
        own = {name: own[name] for name in ("WIFI_SSID", "WIFI_PASSWORD") if name in own}
        if own:
            # Else the first configuration, which replaces that file, would not have the Wi-Fi.
            said["own"] = _hex(self._sealed(json.dumps(own).encode()))
        body = json.dumps(said).encode()
        status, raw = yield from poll.fetch(line, "/api/v1/claim", _LIMIT, body, False)
        if status != 200:
            raise OSError(_WRONG.get(status, "HTTP %d" % status))
        return raw

    def _sealed(self, plain):
        count = 16 - len(plain) % 16
        iv = os.urandom(16)
        cipher = _aes()(self._derived(b"own", self._seed), _CBC, iv)
        body = iv + cipher.encrypt(plain + bytes((count,)) * count)
        return body + _mac(self._derived(b"own mac", self._seed), body)

    def _open(self, raw):
        # The JSON inside, if it was made by who has the code, for this board.
        size = len(raw) - _HEAD - _MAC
        if size < 16 or size % 16 or raw[:7] != b"KILNA1\n":
            raise ValueError("not an answer to a claim")
        body = memoryview(raw)[:-_MAC]
        wrong = 0
        for one, other in zip(raw[-_MAC:], _mac(self._derived(b"answer mac", self._seed), body)):
            wrong |= one ^ other
        if wrong:
            raise ValueError("an answer by somebody who has not the code")
        cipher = _aes()(self._derived(b"answer", self._seed), _CBC, raw[7:_HEAD])
        plain = cipher.decrypt(raw[_HEAD:-_MAC])
        return json.loads(plain[: -plain[-1]])

    def _keep(self, said):
        # One rename makes this board the device; whatever is cut off before it is asked again.
        from ota import config

        kept = self._kept
        device = {name: said[name] for name in ("id", "board", "repo", "mqtt")}
        # The address that led here is known to be good; the service may know itself by another.
        device["base"] = kept["base"]
        if said["base"].rstrip("/") != kept["base"].rstrip("/"):
            device["recovery"] = said["base"]
        device["tls"] = kept.get("tls") or said.get("tls") or {}
        device["token"] = _hex(self._derived(b"token", self._seed))
        device["key"] = _hex(self._derived(b"key", self._seed))
        config.lay_over(device, {})
        path = self.folder + "settings.json"
        settings = state.read(path) or {}
        settings.update(said["settings"])
        _replace(path, settings)
        _replace(self.folder + "device.json", device)
        hal.log("this is", device["id"])
        os.remove(self.folder + "claim.json")

    def _derived(self, what, seed=b""):
        return _mac(self._code, b"kiln claim 1 " + what + b"\0" + seed)


def _mac(key, message):
    # HMAC with SHA-256 (RFC 2104); no key here is longer than a block.
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    inner.update(message)
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
    outer.update(inner.digest())
    return outer.digest()


def _plain(code):
    # However somebody wrote it down.
    found = code.upper().replace("-", "").replace(" ", "").replace("O", "0")
    found = found.replace("I", "1").replace("L", "1")
    if len(found) != 20:
        raise ValueError("not a code")
    return found


def _hex(raw):
    return binascii.hexlify(raw).decode()


def _replace(path, value):
    with open(path + ".new", "w") as f:
        f.write(json.dumps(value))
    os.rename(path + ".new", path)


def _aes():
    try:
        from cryptolib import aes
    except ImportError:
        from ucryptolib import aes  # before MicroPython 1.21
    return aes

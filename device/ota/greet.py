# The first steps of a line to the broker: TCP, TLS, CONNECT, SUBSCRIBE (MQTT 3.1.1). Imported for
# each connect and forgotten.
from micropython import const

from ota import net

KEEPALIVE_S = const(60)


def greet(device):
    """Errand: a line on which CONNECT was accepted and SUBSCRIBE sent. Raises OSError."""
    mqtt = device["mqtt"]
    tls = (device.get("tls") or {}) if mqtt.get("tls") else None
    line = yield from net.dial(mqtt["host"], mqtt["port"], tls)
    try:
        yield from net.write(line, _connect(device))
        # 3.2: four bytes, the last one says how it went.
        answer = bytearray(4)
        view = memoryview(answer)
        while view:
            n = line.readinto(view)
            if n == 0:
                raise OSError("broker closed the connection")
            if n:
                view = view[n:]
            else:
                yield
        if answer[:2] != b"\x20\x02" or answer[3]:
            raise OSError("broker says no: %d" % answer[3])
        yield from net.write(line, _subscribe(device))
        return line
    except:  # also when the errand is given up
        line.close()
        raise


def _connect(device):
    # 3.1: user name, password, retained will of QoS 1, clean session.
    flags = 0x80 | 0x40 | 0x20 | 0x08 | 0x04 | 0x02
    name = _text(device["id"])
    body = _text("MQTT") + bytes((4, flags, 0, KEEPALIVE_S)) + name
    body += _text("kiln/v1/" + device["id"] + "/alive") + _text("0") + name
    return _packet(0x10, body + _text(device["token"]))


def _subscribe(device):
    # 3.8: both of QoS 1.
    topic = "kiln/v1/" + device["id"]
    return _packet(
        0x82, b"\0\1" + _text(topic + "/desired") + b"\1" + _text(topic + "/ask") + b"\1"
    )


def _packet(kind, body):
    # 2.2.3: seven bits a byte; nothing here comes near to 16,384 bytes.
    size = len(body)
    head = bytes((kind, size)) if size < 128 else bytes((kind, size & 127 | 128, size >> 7))
    return head + body


def _text(value):
    # 1.5.3: two bytes of length, then UTF-8.
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw

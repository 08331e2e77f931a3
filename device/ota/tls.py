# TLS over a connected socket. Imported where an address asks for it.
import binascii
import ssl

from ota import hal


def over(sock, host, tls):
    """`sock` below TLS, the other side verified by the authorities in the file tls["ca"].

    The handshake goes on with the first reads and writes. Raises OSError, ValueError.
    """
    try:
        return _over(sock, host, tls)
    except AttributeError:  # raised further, it would end the application
        raise OSError("TLS needs MicroPython 1.22 or newer") from None


def _over(sock, host, tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "ca" in tls and hasattr(ssl, "CERT_REQUIRED"):
        context.verify_mode = ssl.CERT_REQUIRED
        with open(tls["ca"], "rb") as f:
            context.load_verify_locations(cadata=_der(f.read()))
    else:
        # What is fetched is verified by its signature all the same; the token can be read.
        why = "this port cannot" if "ca" in tls else "no ca in device.json"
        hal.log("TLS:", host, "is not verified,", why)
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


def _der(raw):
    # Not every port reads PEM (RFC 7468), and one certificate of it is base64 between two lines.
    if raw[:5] != b"-----":
        return raw
    lines = raw.split(b"-----")[2].split()
    return binascii.a2b_base64(b"".join(lines))

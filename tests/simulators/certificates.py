"""An authority of a network of its own, and a server's certificate by it."""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.adapters.clock import SystemClock

DAY = datetime.timedelta(days=1)


def certificates(folder: pathlib.Path, address: str) -> str:
    """Writes `server.pem` and `server.key` for this address; answers the authority's certificate in PEM."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ours = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of tests")])
    basics = x509.BasicConstraints(ca=True, path_length=0)
    authority = _begun(ours, ours, authority_key).add_extension(basics, critical=True).sign(authority_key, _HASH)
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    server = _begun(x509.Name([]), ours, server_key).add_extension(place, critical=True).sign(authority_key, _HASH)
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").write_bytes(private)
    return authority.public_bytes(serialization.Encoding.PEM).decode()


_HASH = hashes.SHA256()


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = SystemClock().now()
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return made.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)

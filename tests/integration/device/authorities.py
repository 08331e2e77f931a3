"""Authorities and certificates made for one test."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """An authority of its own; `path` is its certificate in DER, `pem` the same in PEM."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key.public_key(), None, authority=True)
        self.path = folder / f"{name}.der"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, host: str, *, days: int = 30) -> tuple[Path, Path]:
        """Certificate and key files for `host`; with negative `days` it ended so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key.public_key(), host, days=days)
        chain = self._folder / f"{host}-{days}.pem"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = self._folder / f"{host}-{days}.key"
        form = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return chain, secret

    def context(self, host: str, *, days: int = 30) -> ssl.SSLContext:
        """What a server for `host` speaks TLS with."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*self.certify(host, days=days))
        return made

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        host: str | None,
        *,
        days: int = 30,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(tz=datetime.UTC)  # noqa: TID251 - what the board's own TLS goes by
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 60 * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

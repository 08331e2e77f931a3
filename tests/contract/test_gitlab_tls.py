"""A GitLab in the LAN with a certificate authority of its own: trusted when the system trusts it, as git does."""

import contextlib
import dataclasses
import datetime
import http.server
import ipaddress
import json
import pathlib
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.adapters.clock import SystemClock
from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import ForgeError
from service.domain.repository import Forge
from tests.contract.gitlab_stage import PATH, WHEN, followed
from tests.servers import serving

PROJECT = {"id": 7, "path_with_namespace": PATH, "default_branch": "main", "visibility": "private"}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(PROJECT).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing of it is of interest."""


def certificate(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Of 127.0.0.1, by itself: key with certificate, and certificate alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "git.lan")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + public)
    (folder / "ca.pem").write_bytes(public)
    return folder / "both.pem", folder / "ca.pem"


@contextlib.contextmanager
def listening(both: pathlib.Path) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server.server_address[1]


def api(port: int) -> GitLabApi:
    connection = Connection(
        id=ConnectionId("c1"),
        forge=Forge.GITLAB,
        host=f"127.0.0.1:{port}",
        kind=ConnectionKind.TOKEN,
        token="glpat-tls",
        created_at=WHEN,
    )
    return GitLabApi(dataclasses.replace(connection), followed(), SystemClock())


def test_an_authority_that_the_system_trusts_is_trusted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, public = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))

    with listening(both) as port:
        assert api(port).describe().forge_id == "7"


def test_any_other_is_not(tmp_path: pathlib.Path) -> None:
    both, _ = certificate(tmp_path)

    with listening(both) as port, pytest.raises(ForgeError, match="SSLError"):
        api(port).describe()

"""Questions to the container engine, by nothing but the standard library: nothing may be installed yet."""

import http.client
import os
import shutil
import socket
import subprocess

SOCKET = "/var/run/docker.sock"
ENGINE_TIMEOUT_S = 5  # of one question to it


class _EngineConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ENGINE_TIMEOUT_S)
        self.sock.connect(SOCKET)


def says(path: str) -> int:
    """The engine's HTTP status for a GET of `path`, 0 when no engine answers."""
    if os.environ.get("DOCKER_HOST"):  # the operator's own choice of engine: ask it by its own command
        image = path.removeprefix("/images/").removesuffix("/json")
        question = ["docker", "version"] if path == "/_ping" else ["docker", "image", "inspect", image]
        asked = subprocess.run(question, check=False, capture_output=True) if shutil.which("docker") else None
        return 200 if asked and not asked.returncode else 0
    connection = _EngineConnection("engine", timeout=ENGINE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def answers() -> bool:
    return says("/_ping") == 200

"""What several parts of the integration tests need."""

import subprocess

import pytest


@pytest.fixture(scope="session")
def known_runtimes() -> str:
    command = ["docker", "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(params=["", "runsc"], ids=["runc", "runsc"])
def runtime(request: pytest.FixtureRequest, known_runtimes: str) -> str:
    """The engine's own, and gVisor, which `deploy/host/setup --test` registers. For tests that hold with both."""
    if request.param and request.param not in known_runtimes.split():
        pytest.skip(f"the engine has no runtime {request.param}: deploy/host/setup --test registers it, as root")
    return str(request.param)

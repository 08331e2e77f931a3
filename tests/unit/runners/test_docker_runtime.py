"""Which runtime containers get, by what engines say of themselves."""

from typing import Any

import pytest

from runners import docker_runtime
from runners.contract.job import Limits
from runners.errors import EngineError

# Of `docker info`, shortened: Docker 20.10 on Debian 12, and its rootless twins.
ROOTFUL = {
    "CgroupDriver": "systemd",
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=host"]}},
    "SecurityOptions": ["name=seccomp,profile=default", "name=cgroupns"],
}
ROOTLESS: dict[str, Any] = {**ROOTFUL, "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
ROOTLESS_V1 = {**ROOTLESS, "CgroupDriver": "none"}


def test_without_a_setting_the_engine_chooses_and_is_not_asked() -> None:
    found = docker_runtime.find("", {})

    assert found.options == {}
    assert found.pids(Limits(pids=7)) == 7


def test_a_runtime_with_a_kernel_of_its_own_gets_processes_for_it() -> None:
    found = docker_runtime.find("runsc", ROOTFUL)

    assert found.options == {"runtime": "runsc"}
    assert found.pids(Limits(pids=7)) == 7 + docker_runtime.OWN_KERNEL_PIDS
    assert docker_runtime.find("runc", ROOTFUL).pids(Limits(pids=7)) == 7


@pytest.mark.parametrize("name", ["kata", "runsc ", "\n", "x" * 5000])
def test_a_runtime_that_the_engine_lacks_is_a_sentence(name: str) -> None:
    with pytest.raises(
        EngineError, match=r"but the engine has runc, runsc: register it in Docker's daemon\.json"
    ) as it:
        docker_runtime.find(name, ROOTFUL)
    assert str(it.value).isprintable()
    assert len(str(it.value)) < 300


def test_an_engine_that_tells_of_no_runtime_has_none() -> None:
    with pytest.raises(EngineError, match="but the engine has none"):
        docker_runtime.find("runsc", {})


def test_what_an_engine_does_not_hold_is_named() -> None:
    assert docker_runtime.weaknesses(ROOTFUL) == []
    assert docker_runtime.weaknesses(ROOTLESS) == []
    assert docker_runtime.weaknesses({**ROOTFUL, "SwapLimit": False}) == ["swap"]
    assert docker_runtime.weaknesses(ROOTLESS_V1) == ["memory", "swap", "processor", "processes"]
    assert [docker_runtime.is_rootless(each) for each in (ROOTFUL, ROOTLESS, ROOTLESS_V1)] == [False, True, True]

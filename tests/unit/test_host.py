"""What the set-up of a machine does is what the texts and the other side of it say."""

import importlib.util
import ipaddress
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from types import ModuleType

import pytest

from fetcher.address import METADATA
from service.adapters.instance import load_instance
from service.settings import Settings
from service.supervisor import children

ROOT = pathlib.Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")


def load(name: str) -> ModuleType:
    """A module of the set-up, which is no package: it runs before anything is installed."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "host" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "deploy" / "host"))  # they import each other, as scripts of one folder
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def test_the_firewall_closes_every_metadata_address_that_the_fetcher_refuses() -> None:
    closed = [ipaddress.ip_network(each) for each in load("firewall").ADDRESSES]
    refused = [ipaddress.ip_address(each) for each in (*METADATA, "169.254.169.254")]

    for each in refused:
        # The networks of fetches have no IPv6 (tests/integration/source/test_network.py).
        assert each.version == 6 or any(each in network for network in closed), each


def test_the_text_gives_the_same_rules() -> None:
    firewall = load("firewall")
    loop = re.search(r"for address in ([^;]+); do\n +iptables (.+)\n", OPERATIONS)
    assert loop is not None

    assert loop[1].split() == [each.removesuffix("/32") for each in firewall.ADDRESSES]
    assert loop[2].split() == ["-t", "raw", "-A", "PREROUTING", "-d", "$address", *firewall.WHAT, "-j", "DROP"]


def test_the_systemd_unit_adds_the_rules_again_at_every_start(tmp_path: pathlib.Path) -> None:
    said = re.search(r"^ExecStartPre=\+/usr/bin/python3 /opt/kiln/(\S+)$", OPERATIONS, re.MULTILINE)
    assert said is not None
    iptables, asked = tmp_path / "iptables", tmp_path / "asked"
    iptables.write_text(f'#!/bin/sh\necho "$*" >>{asked}\ncase "$*" in *" -C "*) exit 1;; esac\n')
    iptables.chmod(0o755)

    done = subprocess.run(
        [sys.executable, str(ROOT / said[1])], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=30
    )

    assert done.returncode == 0
    added = asked.read_text().count(" -A PREROUTING ") if asked.exists() else 0
    assert added == (0 if os.geteuid() else len(load("firewall").ADDRESSES))


LIST = '["ESP32_GENERIC-20260101-v1.28.0.bin"]\n'


@pytest.mark.parametrize(
    ("listed", "runs"),
    [("", ["build-images/build.py"]), (LIST, ["build-images/build.py", "-m runners firmware fetch"])],
    ids=["no list", "a list"],
)
def test_base_firmware_is_fetched_with_the_build_images(tmp_path: pathlib.Path, listed: str, runs: list[str]) -> None:
    """It is extra: without a list nothing is done, and without a network the images are there all the same."""
    if listed:
        (tmp_path / "firmware.toml").write_text(listed)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/ran\ncase "$*" in *firmware*) exit 2;; esac\n')
    python.chmod(0o755)

    command = ["make", "-s", "-C", str(ROOT), "-o", "setup", "images", f"PYTHON={python}"]
    settings = {"PATH": "/usr/bin:/bin", "KILN_FIRMWARE": str(tmp_path)}
    done = subprocess.run(command, env=settings, check=False, capture_output=True, timeout=30)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").read_text().splitlines() == runs


def test_the_text_registers_gvisor_as_the_setup_does() -> None:
    said = re.search(r"```json\n(\{\"runtimes\".+)\n```", OPERATIONS)
    assert said is not None

    assert json.loads(said[1]) == {"runtimes": {"runsc": load("gvisor").RUNTIME}}


@pytest.mark.parametrize("content", ["{", "[]", '{"runtimes": []}'])
def test_a_broken_configuration_of_docker_is_a_sentence_and_stays_as_it_is(
    tmp_path: pathlib.Path, content: str
) -> None:
    gvisor, config = load("gvisor"), tmp_path / "daemon.json"
    config.write_text(content)

    with pytest.raises(gvisor.RuntimeMissingError, match=r"cannot be made known to Docker by .*daemon\.json"):
        gvisor.tell(config, tmp_path / "docker.pid")
    assert config.read_text() == content


def test_what_docker_was_told_before_stays(tmp_path: pathlib.Path) -> None:
    """There is no process to tell: its number is one that no process has."""
    gvisor, config, pid = load("gvisor"), tmp_path / "daemon.json", tmp_path / "docker.pid"
    config.write_text('{"log-level": "warn", "runtimes": {"kata": {"path": "/usr/bin/kata"}}}')
    pid.write_text("4194305")

    with pytest.raises(gvisor.RuntimeMissingError, match="No such process"):
        gvisor.tell(config, pid)

    known = json.loads(config.read_text())
    assert known == {
        "log-level": "warn",
        "runtimes": {"kata": {"path": "/usr/bin/kata"}, "runsc": gvisor.RUNTIME},
    }


def test_the_operators_runtime_reaches_each_runner_and_nobody_else(tmp_path: pathlib.Path) -> None:
    settings = Settings.from_environment({"KILN_DATA": str(tmp_path), "KILN_RUNTIME": "runsc", "KILN_RUNNERS": "2"})

    found = {each.name: each.environment for each in children(settings, load_instance(tmp_path), {"PATH": "/bin"})}

    assert {name for name, each in found.items() if each.get("KILN_RUNTIME") == "runsc"} == {"runner-1", "runner-2"}


def test_the_variable_of_the_sealing_key_reaches_the_service_alone(tmp_path: pathlib.Path) -> None:
    given = {"PATH": "/bin", "SEAL": "11" * 32, "KILN_DATA": str(tmp_path), "KILN_SEALING_KEY": "env:SEAL"}
    settings = Settings.from_environment(given)

    found = {each.name: each.environment for each in children(settings, load_instance(tmp_path), given)}

    assert {name for name, each in found.items() if "11" * 32 in each.values()} == {"service"}


def test_home_assistant_gets_an_interpreter_that_it_runs_on_or_a_sentence(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("home_assistant")

    monkeypatch.setattr(module, "PYTHONS", (f"{sys.version_info.major}.{sys.version_info.minor}",))
    assert module.interpreter() == sys.executable

    monkeypatch.setattr(module, "PYTHONS", ("2.99",))
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get there
    with pytest.raises(module.PythonMissingError, match=r"needs Python 2\.99 .* `pyenv install 2\.99`"):
        module._python(run=None, say=None)


def test_debians_python_is_asked_of_each_mirror_that_the_machine_has_and_only_with_debians_signature(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, apt = load("debian_python"), tmp_path / "apt-get"
    keys, said = tmp_path / "keys", "http://one/debian/\nhttp://one/debian/\ncdrom:[Debian 12]/\nhttp://two/other/\n"
    keys.touch()
    apt.write_text(f"""#!/bin/sh
[ "$1" != indextargets ] || {{ printf '{said}'; exit; }}
for word; do case "$word" in Dir::Etc::SourceList=*) cat "${{word#*=}}" >>{tmp_path}/asked;; esac; done
exit 100
""")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(module, "KEYS", keys)
    (tmp_path / "home").mkdir()

    assert module.unpack(tmp_path / "home" / "debian", run=None, say=print) is None

    assert (tmp_path / "asked").read_text().splitlines() == [
        f"deb [signed-by={keys}] {mirror} trixie main" for mirror in ("http://one/debian/", "http://two/other/")
    ]
    assert list((tmp_path / "home").iterdir()) == []


def test_an_unpacked_interpreter_starts_by_its_own_loader_and_takes_the_link_to_it_for_itself(
    tmp_path: pathlib.Path,
) -> None:
    """Here with this machine's loader, and its shell for an interpreter: that says its name, too."""
    module, folder = load("debian_python"), tmp_path / "a person's own"
    [loader] = pathlib.Path("/usr/lib").glob(f"{os.uname().machine}-linux-*/ld-linux*.so.*")
    libraries, settings = folder / "usr/lib" / loader.parent.name, folder / "usr/lib/python3.13/_sysconfigdata__x.py"
    for each in (folder / "usr/bin", libraries, settings.parent, tmp_path / "bin"):
        each.mkdir(parents=True)
    shutil.copy(loader, libraries)
    shutil.copy("/bin/sh", folder / "usr/bin/python3.13")
    settings.write_text("build_time_vars = {'WHEEL_PKG_DIR': '/usr/share/python-wheels/'}\n")

    python = tmp_path / "bin/python"
    python.symlink_to(module.make_startable(folder))
    command = [str(python), "-c", 'echo "$0"; readlink /proc/$$/exe']
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.splitlines() == [str(python), str(libraries / loader.name)]
    known: dict[str, dict[str, str]] = {}
    exec(settings.read_text("utf-8"), known)
    assert known["build_time_vars"] == {"WHEEL_PKG_DIR": f"{folder}/usr/share/python-wheels/"}

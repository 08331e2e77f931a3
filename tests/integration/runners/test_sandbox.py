"""Hostile builds on real Docker: each is contained, named in the result, and leaves nothing (rows 7, 10, 14, 17).

Each is tried with the engine's own runtime and with gVisor, whose differences docs/decisions/0015-sandbox.md lists.
"""

import pytest

from runners.contract.job import Outcome
from tests.integration.runners.conftest import Bench, Script

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runtime")]

FAMILIES = ("shell", "program")  # one that compiles, one that runs the repository's programs
SENSES = r"""
exec 2>&1
id -u; id -g
grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status | tr -d '\t'
grep Seccomp: /proc/self/status | tr -d '\t'
echo "nets $(sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' ' | tr '\n' ' ')"
echo "routes $(wc -l < /proc/net/route)"
touch /opt/kiln/x /tmp/x /etc/x /x || echo "root is read-only"
echo "swap $(cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory.swap.max 2>/dev/null)"
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_build_has_no_root_no_capability_no_network_and_nothing_to_write_to(
    script: Script, runtime: str, family: str
) -> None:
    result, log = script(SENSES, family=family)

    assert result.outcome is Outcome.SUCCEEDED, log
    lines = log.splitlines()
    assert lines[:2] == ["65534", "65534"]
    capabilities = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    found = {each for each in lines if each.startswith("Cap")}
    assert {"nets lo ", "root is read-only"} <= set(lines)
    assert log.count("cannot touch") == 4
    if runtime:  # a kernel of its own: its processes know nothing of our seccomp, nor of our cgroups
        assert found == {f"{each}:{0:016}" for each in capabilities[:-1]}
        return
    assert found == {f"{each}:{0:016}" for each in capabilities}
    assert {"NoNewPrivs:1", "Seccomp:2"} <= set(lines)
    assert "routes 1" in lines  # the header only
    assert [each for each in lines if each.startswith("swap")] in ([f"swap {64 << 20}"], ["swap 0"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_build_knows_no_secret_and_no_mount_of_the_host(script: Script, family: str) -> None:
    _, log = script("cut -d' ' -f2 /proc/mounts; echo; env | cut -d= -f1", family=family)

    mounts, names = (set(part.split()) for part in log.split("\n\n"))
    own = (
        "/proc",
        "/sys",
        "/dev",
        "/etc/",
        "/sbin/docker-init",
        "/usr/sbin/docker-init",
        "/work",
        "/tmp",  # empty and read-only
    )  # /etc/hosts and its like, made by the engine
    assert not [each for each in mounts if each != "/" and not each.startswith(own)]
    assert names <= {
        "HOME",
        "HOSTNAME",
        "KILN_LOG_BYTES",
        "KILN_OUTPUT_BYTES",
        "KILN_PATIENCE_S",
        "LC_ALL",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHLVL",
        "TMPDIR",
        "_",
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("address", ["169.254.169.254/80", "172.17.0.1/22", "127.0.0.1/2375", "8.8.8.8/53"])
def test_no_address_can_be_reached(script: Script, address: str, family: str) -> None:
    result, log = script(f"timeout 3 bash -c '(: </dev/tcp/{address})' && echo reached; echo done", family=family)

    assert result.outcome is Outcome.SUCCEEDED
    assert "done" in log
    assert "reached" not in log


def test_programs_of_a_repository_find_their_own_container_as_localhost(script: Script, runtime: str) -> None:
    """What a compiler's container need not have, and is cheaper without."""
    asked = "getent hosts localhost || echo nobody"
    _, known = script(asked, family="program")
    _, unknown = script(asked)

    assert "localhost" in known
    assert ("nobody" in unknown) is (runtime == "")


def test_eating_memory_is_out_of_memory(script: Script) -> None:
    result, _ = script("head -c 200m /dev/zero | tail")

    assert (result.outcome, result.message) == (
        Outcome.OUT_OF_MEMORY,
        "out of memory: the build needs more than 64 MiB",
    )


@pytest.mark.parametrize("text", ["head -c 100m /dev/zero > big; exit 1", "head -c 100m /dev/zero > big; true"])
def test_filling_the_disk_is_disk_full_even_where_the_build_does_not_mind(script: Script, text: str) -> None:
    result, log = script(text)

    assert (result.outcome, result.message) == (
        Outcome.DISK_FULL,
        "disk full: the build needs more than 16 MiB of work area",
    )
    assert "No space left on device" in log


def test_using_up_the_names_of_the_disk_is_disk_full(script: Script, runtime: str) -> None:
    result, _ = script("seq 100000 | xargs touch", memory_bytes=(64 if runtime else 512) << 20)

    # gVisor does not count names: they use up the memory
    assert result.outcome is (Outcome.OUT_OF_MEMORY if runtime else Outcome.DISK_FULL)


def test_a_build_without_end_is_timed_out(script: Script) -> None:
    result, _ = script("echo begun; while :; do :; done", time_s=2.0)

    assert (result.outcome, result.message) == (Outcome.TIMED_OUT, "still running after 2 s")
    assert result.seconds < 6


def test_a_fork_bomb_is_contained(script: Script, bench: Bench) -> None:
    result, _ = script("b() { b | b & }; b; sleep 60", time_s=3.0, pids=64)
    after = bench.run(bench.job({"build.sh": b"echo fine"}))

    assert result.outcome in {Outcome.TIMED_OUT, Outcome.FAILED, Outcome.OUT_OF_MEMORY}
    assert result.seconds < 15
    assert after.outcome is Outcome.SUCCEEDED


def test_a_process_left_behind_does_not_hold_the_build(script: Script) -> None:
    result, log = script("sleep 100 & echo over")

    assert (result.outcome, log) == (Outcome.SUCCEEDED, "over\n")
    assert result.seconds < 10


def test_an_endless_log_is_cut_and_the_build_goes_on(script: Script) -> None:
    result, log = script("head -c 30m /dev/zero | tr '\\0' x; echo; mkdir -p ../out; echo 1 > ../out/a", log_bytes=5000)

    assert result.outcome is Outcome.SUCCEEDED
    assert log == "x" * 5000 + "\n[kiln: log cut at 5000 bytes]\n"


def test_a_log_keeps_its_bytes_whatever_they_are(script: Script) -> None:
    result, log = script(r"printf '\033[31mred\033]8;;http://x\a<b>&\r\000started\nexit=0 oom=0\n'; exit 3")

    assert log == "\x1b[31mred\x1b]8;;http://x\x07<b>&\r\0started\nexit=0 oom=0\n"
    assert (result.outcome, result.message) == (Outcome.FAILED, "the build ended with exit code 3: exit=0 oom=0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ln -s /etc/passwd ../out/evil", "'evil' in the outputs is a symbolic link"),
        ("ln -s / ../out/evil", "'evil' in the outputs is a symbolic link"),
        ("echo 1 > ../out/a; ln ../out/a ../out/b", "in the outputs is a hard link"),
        ("mkfifo ../out/evil", "'evil' in the outputs is a named pipe"),
        ("echo 1 > '../out/a b'", "'a b' has characters other than"),
        ("echo 1 > ../out/A; echo 1 > ../out/a", "are the same file where upper and lower case are one"),
        ("mkdir ../out/ota; echo 1 > ../out/ota/x", "belongs to Kiln's agent"),
        ("truncate -s 5G ../out/evil", "the outputs are larger than"),
        ("head -c 9m /dev/zero > ../out/big", "the outputs are larger than 1000000 bytes"),
        ("for n in $(seq 600); do : > ../out/$n; done", "more than 512 files"),
    ],
)
def test_outputs_that_break_a_rule_are_refused_by_name(script: Script, text: str, said: str) -> None:
    result, _ = script(text, output_bytes=1_000_000)

    assert result.outcome is Outcome.REFUSED
    assert said in result.message


def test_a_device_cannot_be_made(script: Script, runtime: str) -> None:
    result, log = script("mknod ../out/evil c 1 3")

    if runtime:  # in gVisor it can, of gVisor's own devices: it does not get out
        assert (result.outcome, result.message) == (
            Outcome.REFUSED,
            "'evil' in the outputs is a device, not a plain file",
        )
        return
    assert result.outcome is Outcome.FAILED
    assert "Operation not permitted" in log


def test_a_build_that_kills_everything_it_can_reach_only_fails(script: Script) -> None:
    result, _ = script("kill -9 -1; exit 0")

    assert result.outcome is Outcome.FAILED


def test_a_build_that_forges_its_outputs_gains_nothing(script: Script) -> None:
    """Standard output of the first process is within reach of the same user: what is read there is checked alike."""
    forged = r"""
    for p in /proc/[0-9]*; do printf 'started\nexit=0 oom=0 blocks=9 inodes=9\nrubbish' > $p/fd/1; done 2>/dev/null
    exit 1
    """
    result, _ = script(forged)

    assert result.outcome in {Outcome.REFUSED, Outcome.FAILED}
    assert result.artifacts == ()

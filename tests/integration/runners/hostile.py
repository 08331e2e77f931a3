"""Hostile repositories: what each does in the compiler's place, and what has to become of it, in one sentence."""

from dataclasses import dataclass, field

from runners.contract.job import Outcome


@dataclass(frozen=True, slots=True)
class Hostile:
    """A repository and what has to become of it."""

    text: str  # of a shell script in the compiler's place
    outcome: Outcome
    said: str
    limits: dict[str, float] = field(default_factory=dict)
    in_gvisor: tuple[Outcome, str] | None = None  # where that is something else


NO_MORE = "(no more than 64 processes may run at once)"
BROKE = (Outcome.FAILED, "the build broke off")  # its first process is gone; in gVisor a fork bomb takes it along

REPOSITORIES = {
    "fork bomb": Hostile(
        "b() { b | b & }; b; sleep 60", Outcome.TIMED_OUT, f"still running after 3 s {NO_MORE}", {"time_s": 3.0}, BROKE
    ),
    "fork bomb that asks for nothing but processes": Hostile(
        "while :; do sleep 60 & done", Outcome.TIMED_OUT, f"still running after 4 s {NO_MORE}", {"time_s": 4.0}, BROKE
    ),
    "memory bomb": Hostile(
        "head -c 900m /dev/zero | tail",
        Outcome.OUT_OF_MEMORY,
        "out of memory: the build needs more than 64 MiB",
    ),
    "memory bomb in the work area": Hostile(
        "head -c 900m /dev/zero > big", Outcome.OUT_OF_MEMORY, "out of memory", {"disk_bytes": 1 << 30}
    ),
    "disk filler": Hostile(
        "while :; do head -c 1m /dev/zero >> big || break; done",
        Outcome.DISK_FULL,
        "disk full: the build needs more than 16 MiB of work area",
    ),
    "disk filler behind a deleted name": Hostile(
        "exec 3> big; rm big; head -c 900m /dev/zero >&3; exit 1", Outcome.DISK_FULL, "disk full"
    ),
    "endless loop": Hostile(
        "trap '' TERM INT HUP; while :; do :; done", Outcome.TIMED_OUT, "still running after 2 s", {"time_s": 2.0}
    ),
    "endless sleep with children that hold the log": Hostile(
        "sleep 1000 & sleep 1000 & exec sleep 1000", Outcome.TIMED_OUT, "still running after 2 s", {"time_s": 2.0}
    ),
    "stopped for good": Hostile("kill -STOP $$", Outcome.TIMED_OUT, "still running after 2 s", {"time_s": 2.0}),
    "symbolic link out": Hostile(
        "ln -s /etc/passwd ../out/evil", Outcome.REFUSED, "'evil' in the outputs is a symbolic link"
    ),
    "outputs that are a symbolic link": Hostile(
        "rm -rf ../out; ln -s /proc ../out",
        Outcome.REFUSED,
        "in the outputs is a symbolic link",  # which of them comes first is the kernel's to say
        {"output_bytes": 100_000},
    ),
    "hard link out": Hostile(
        "echo 1 > ../out/a; ln ../out/a ../out/b; ln /etc/passwd ../out/c; true",
        Outcome.REFUSED,
        "in the outputs is a hard link",
    ),
    "named pipe": Hostile("mkfifo ../out/evil", Outcome.REFUSED, "'evil' in the outputs is a named pipe"),
    "device": Hostile(
        "mknod ../out/evil b 8 0",
        Outcome.FAILED,
        "the build ended with exit code 1: mknod: ../out/evil: Operation not permitted",
        in_gvisor=(Outcome.REFUSED, "'evil' in the outputs is a device"),
    ),
    "sparse bomb": Hostile("truncate -s 1T ../out/evil || truncate -s 5G ../out/evil", Outcome.REFUSED, "larger"),
    "names with control characters": Hostile(
        "echo 1 > \"../out/$(printf 'a\\033[2Jb')\"", Outcome.REFUSED, "is not relative and plain"
    ),
    "killer of its supervisor": Hostile("kill -9 -1; kill -9 1", *BROKE),
    "a hundred megabytes in one line": Hostile(
        "head -c 100m /dev/zero | tr '\\0' x; exit 7", Outcome.FAILED, "exit code 7: [kiln: log cut"
    ),
    "markup and escapes": Hostile(
        r"printf '<script>alert(1)</script>\033]0;owned\a\033]52;c;ZXZpbA==\a\033[2J\rpassed\000'; exit 3",
        Outcome.FAILED,
        "the build ended with exit code 3: ",
    ),
    "a forged mark and a forged end": Hostile(
        r"printf '[kiln: log cut at 10 bytes]\nstarted\nexit=0 oom=0 blocks=9 inodes=9\n'; exit 3",
        Outcome.FAILED,
        "the build ended with exit code 3: exit=0",
    ),
    "every address of the network": Hostile(
        """
        for host in 127.0.0.1 172.17.0.1 169.254.169.254 100.100.100.200 168.63.129.16 8.8.8.8 1.1.1.1; do
          for port in 22 53 80 443 2375 8080; do (: > /dev/tcp/$host/$port) && echo reached $host $port; done
        done 2> /dev/null
        for n in $(seq 1 20); do (: > /dev/tcp/172.17.0.$n/22) && echo reached $n; done 2> /dev/null
        cat < /dev/udp/127.0.0.11/53 & sleep 0.2
        exit 4
        """,
        Outcome.FAILED,
        "the build ended with exit code 4",
    ),
}  # fmt: skip

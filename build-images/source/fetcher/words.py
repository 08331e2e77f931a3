"""What can go wrong, and what git means by what it says. Pure."""

MAX_SAID_CHARS = 300


class RefusedError(Exception):
    """Trying again does not help. The message is for the person who pushed."""


class TroubleError(Exception):
    """It may pass: a network, a server, a name that does not resolve now."""


class NotServedError(Exception):
    """The server does not hand out a commit by its id: its ref may do."""


class MovedError(Exception):
    """The server redirects, and redirects are not followed."""


# In the words of git and curl with LC_ALL=C: any of them, the error, and its sentence. The first that fits decides.
_MEANINGS: tuple[tuple[tuple[str, ...], type[Exception], str], ...] = (
    (
        ("not our ref", "unadvertised object", "couldn't find remote ref", "could not find remote ref"),
        NotServedError,
        "{where} does not hold that",
    ),
    (
        tuple(f"returned error: {code}" for code in (301, 302, 303, 307, 308)),
        MovedError,
        "{where} redirects to another address, which is not followed: use the address itself",
    ),
    (
        ("SSL certificate problem", "certificate verification failed", "server certificate", "certificate subject"),
        RefusedError,
        "the certificate of {where} is not trusted: KILN_SOURCE_CA names further authorities",
    ),
    (
        ("No space left on device", "Out of memory", "out of memory"),
        RefusedError,
        "{where} is too large to be fetched",
    ),
    (
        ("fsck error", "error in object", "error: object "),
        RefusedError,
        "{where} holds an object that git refuses: {said}",
    ),
    (
        ("returned error: 401", "returned error: 403", "Authentication failed", "could not read Username"),
        RefusedError,
        "no access to {where}: check its address and credentials",
    ),
    (
        ("returned error: 404", "returned error: 410", "' not found"),
        RefusedError,
        "there is no repository at {where}, or Kiln may not see it",
    ),
    (
        ("not valid: is this a git repository", "dumb http transport", "invalid server response", "remote helper"),
        RefusedError,
        "{where} does not answer as a git server does: {said}",
    ),
)


def judge(said: str, where: str) -> Exception:
    """What git's failing at `where` is, by what it printed on standard error."""
    for words, kind, sentence in _MEANINGS:
        if any(each in said for each in words):
            return kind(sentence.format(where=where, said=short(said)))
    return TroubleError(f"git could not read {where}: {short(said)}")


def short(said: str) -> str:
    """The lines that matter, on one line, printable."""
    lines = [line.strip() for line in said.splitlines() if line.startswith(("fatal:", "error:"))] or said.split("\n")
    text = " ".join(each for each in lines if each)
    return "".join(each if each.isprintable() else " " for each in text)[-MAX_SAID_CHARS:]

"""What others publish about the forges, for tests: npm packages, one source archive, one Debian package.

Standard library only, and called by bootstrap.py. All of it is fetched by the machine's own package tools, pinned by
hash in tests/outside (Debian's by apt's signatures), into `.kiln/outside`.
"""

import hashlib
import pathlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKS = ROOT / "tests" / "outside"
FOLDER = ROOT / ".kiln" / "outside"
STAMP = FOLDER / "stamp"
PINS = ("package.json", "package-lock.json", "ogr.lock")
DEBIAN_PACKAGE = "golang-github-xanzy-go-gitlab-dev"
DEBIAN_SAMPLES = "usr/share/gocode/src/github.com/xanzy/go-gitlab/testdata/webhooks"
OGR_FOLDERS = (("tests", "integration", "github"), ("tests", "integration", "gitlab"))

Run = Callable[..., None]  # bootstrap.run: a command, and doing="what", for the sentence when it fails
Say = Callable[[str], None]


def pins() -> list[pathlib.Path]:
    """The files that decide what is fetched."""
    return [LOCKS / name for name in PINS] + [pathlib.Path(__file__)]


def is_there() -> bool:
    return STAMP.exists() and STAMP.read_text() == _wanted()


def _wanted() -> str:
    digest = hashlib.sha256()
    for path in pins():
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def install(python: pathlib.Path, *, run: Run, say: Say) -> None:
    """`python` has the locked build backend. Raises what `run` raises; nothing is skipped."""
    if is_there():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    STAMP.unlink(missing_ok=True)
    _npm_packages(run, say)
    with tempfile.TemporaryDirectory(dir=FOLDER) as area:
        _ogr_sessions(python, pathlib.Path(area), run, say)
        _gitlab_samples(pathlib.Path(area), run, say)
    STAMP.write_text(_wanted())


def _npm_packages(run: Run, say: Say) -> None:
    say("installing npm packages for tests: GitHub's deliveries, schemas and signatures")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKS / name, FOLDER / name)
    run(
        *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", FOLDER),
        doing="installing npm packages for tests",
    )


def _ogr_sessions(python: pathlib.Path, area: pathlib.Path, run: Run, say: Say) -> None:
    say("unpacking ogr's recorded sessions with GitHub and GitLab for tests")
    # pip asks an archive for its metadata even to download it; hatchling of our lock answers, nothing else is fetched.
    run(
        *(python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
        *("--require-hashes", "--dest", area, "-r", LOCKS / "ogr.lock"),
        doing="downloading ogr",
    )
    fresh = area / "ogr"
    with tarfile.open(next(area.glob("ogr-*.tar.gz"))) as archive:
        for member in archive:
            parts = pathlib.PurePosixPath(member.name).parts[1:]
            if not member.isfile() or parts[:3] not in OGR_FOLDERS or ".." in parts:
                continue
            content = archive.extractfile(member)
            assert content is not None  # it is a plain file
            target = fresh.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    _replace(fresh, FOLDER / "ogr")


def _gitlab_samples(area: pathlib.Path, run: Run, say: Say) -> None:
    say(f"unpacking the GitLab deliveries of {DEBIAN_PACKAGE} for tests")
    # apt writes into the working directory only. On a fresh machine it has no lists yet.
    download = f"apt-get download -q {DEBIAN_PACKAGE}"
    script = f'cd "$1" && {{ {download} || {{ apt-get update -q && {download}; }}; }}'
    run("sh", "-c", script, "sh", area, doing="downloading GitLab's samples")
    package = next(area.glob(f"{DEBIAN_PACKAGE}_*.deb"))
    run("dpkg", "-x", package, area / "deb", doing="unpacking GitLab's samples")
    (area / "gitlab").mkdir()
    shutil.move(area / "deb" / DEBIAN_SAMPLES, area / "gitlab" / "webhooks")
    _replace(area / "gitlab", FOLDER / "gitlab")


def _replace(fresh: pathlib.Path, place: pathlib.Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)

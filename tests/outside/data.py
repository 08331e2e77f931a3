"""Where the outside test data lies. `make setup-test` installs it (deploy/host/outside.py)."""

import copy
import functools
import json
import pathlib
from typing import Any

OUTSIDE = pathlib.Path(__file__).parents[2] / ".kiln" / "outside"
NODE_MODULES = OUTSIDE / "node_modules"
GITLAB_HOOKS = OUTSIDE / "gitlab" / "webhooks"
OGR = OUTSIDE / "ogr" / "tests" / "integration"


def there(path: pathlib.Path) -> pathlib.Path:
    """The path. Raises: FileNotFoundError that says how to get it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make setup-test`")
    return path


def octokit(name: str) -> pathlib.Path:
    """The folder of an npm package of GitHub's own: `octokit("webhooks-examples")`."""
    return there(NODE_MODULES / "@octokit" / name)


def gitlab_hook(name: str) -> bytes:
    """The body of a GitLab delivery: `gitlab_hook("push")`."""
    return there(GITLAB_HOOKS / f"{name}.json").read_bytes()


def ogr_sessions(forge: str) -> list[pathlib.Path]:
    """Recorded HTTP sessions of ogr with `github` or `gitlab`, in requre's YAML."""
    return sorted(there(OGR / forge / "test_data").rglob("*.yaml"))


def webhook_examples(edition: str = "api.github.com") -> list[tuple[str, dict[str, Any]]]:
    """(event, payload) of every GitHub delivery that octokit publishes. `edition` is a folder of the package."""
    return copy.deepcopy(_examples(edition))


def webhook_examples_of(event: str, action: str) -> list[dict[str, Any]]:
    """Those that say this, for a test to change. To copy all of them takes longer than most tests."""
    found = [payload for name, payload in _examples() if (name, payload.get("action")) == (event, action)]
    return copy.deepcopy(found)


def webhook_example(event: str, action: str) -> dict[str, Any]:
    """The first of them."""
    return webhook_examples_of(event, action)[0]


@functools.cache
def _examples(edition: str = "api.github.com") -> list[tuple[str, dict[str, Any]]]:
    index = json.loads((octokit("webhooks-examples") / edition / "index.json").read_bytes())
    return [(each["name"], payload) for each in index for payload in each["examples"]]

"""What happens at the simulated GitHub, and whom it tells: pushes, requests, buttons, the life of repositories."""

from collections.abc import Sequence
from typing import Any

from tests.simulators import github_payloads as payloads
from tests.simulators.git import git
from tests.simulators.git_http import ZERO, RefChange
from tests.simulators.github_payloads import Fields
from tests.simulators.github_requests import pull_request
from tests.simulators.github_sender import Sender
from tests.simulators.github_world import Hook, SimApp, SimRepository, World

MAX_TAGS = 3  # in one push; of more, GitHub tells nothing
MAX_BRANCHES = 5000
MAX_COMMITS = 2048  # that a push lists


class Events:
    def __init__(self, world: World, sender: Sender) -> None:
        self._world = world
        self._sender = sender

    def tell(self, of: SimRepository, event: str, fields: Fields) -> None:
        """Everybody who listens to this repository."""
        payload = {**fields, "repository": payloads.repository(self._world, of), "sender": self._sender_of()}
        for hook in list(of.hooks.values()):
            self._sender.send(hook, event, payload)
        for app in self._world.apps_of(of):
            self.tell_app(app, event, payload)

    def tell_app(self, app: SimApp, event: str, payload: Fields) -> None:
        short = {"id": app.installation, "node_id": payloads.node_id("Installation", app.installation)}
        self._sender.send(app.hook, event, {"installation": short, **payload})

    def ping(self, hook: Hook, of: SimRepository | None) -> None:
        fields: Fields = {"zen": "Keep it logically awesome.", "hook_id": hook.id}
        fields["hook"] = payloads.hook(self._world, hook, of)
        if of is not None:
            fields |= {"repository": payloads.repository(self._world, of), "sender": self._sender_of()}
        self._sender.send(hook, "ping", fields)

    def pushed(self, of: SimRepository, changes: Sequence[RefChange]) -> None:
        """https://docs.github.com/en/webhooks/webhook-events-and-payloads#push"""
        world = self._world
        with world.lock:
            of.pushed, of.changes = world.now(), of.changes + 1
        tags = sum(each.ref.startswith("refs/tags/") for each in changes)
        if tags > MAX_TAGS or len(changes) - tags > MAX_BRANCHES:
            return
        for each in changes:
            self.tell(of, "push", self._push(of, each))
            if each.ref.startswith("refs/heads/") and not each.is_gone:
                for app in world.apps_of(of):
                    self._suite(of, app, "requested", each.after)
                self._follow(of, each.ref, each.after)

    def open_request(self, base: SimRepository, head: SimRepository, branch: str, *, draft: bool = False) -> int:
        """Answers the number of the pull request."""
        number = len(base.requests) + 1
        sha = git(head.bare, "rev-parse", f"refs/heads/{branch}")
        request = {"number": number, "head": head, "branch": branch, "sha": sha, "draft": draft, "state": "open"}
        with self._world.lock:
            base.requests[number] = request
        self._mirror(base, request)
        self.tell_request(base, number, "opened")
        return number

    def tell_request(self, base: SimRepository, number: int, action: str, **more: Any) -> None:
        request = base.requests[number]
        if action == "closed":
            request["state"] = "closed"
        elif action in ("converted_to_draft", "ready_for_review"):
            request["draft"] = action == "converted_to_draft"
        pull = pull_request(self._world, base, request)
        self.tell(base, "pull_request", {"action": action, "number": number, "pull_request": pull, **more})

    def rerun(self, of: SimRepository, check_run: int) -> None:
        """Somebody presses "Re-run" beside a check."""
        shown = of.check_runs[check_run]
        app = self._world.apps[shown["app"]["id"]]
        hidden = ("node_id", "annotations", "head_commit")
        suite = payloads.check_suite(self._world, of, app, shown["head_sha"])
        for name in ("latest_check_runs_count", "check_runs_url", "head_commit"):
            del suite[name]
        run = {name: value for name, value in shown.items() if name not in hidden}
        output = {"title": None, "summary": None, "text": None, **run["output"]}
        told = {**run, "output": output, "check_suite": suite, "pull_requests": []}
        self._tell_one(of, app, "check_run", {"action": "rerequested", "check_run": told})

    def rerun_all(self, of: SimRepository, app: SimApp, sha: str) -> None:
        self._suite(of, app, "rerequested", sha)

    def queue(self, of: SimRepository, sha: str, number: int = 1) -> str:
        """Put a commit into the merge queue; answers its branch."""
        ref = f"refs/heads/gh-readonly-queue/{of.default_branch}/pr-{number}-{sha}"
        git(of.bare, "update-ref", ref, sha)
        base = git(of.bare, "rev-parse", f"refs/heads/{of.default_branch}")
        group = {
            "head_sha": sha,
            "head_ref": ref,
            "base_ref": f"refs/heads/{of.default_branch}",
            "base_sha": base,
            "head_commit": payloads.simple_commit(self._world, of, sha),
        }
        self.tell(of, "push", self._push(of, RefChange(ref=ref, before=ZERO, after=sha)))
        self.tell(of, "merge_group", {"action": "checks_requested", "merge_group": group})
        return ref

    def _push(self, of: SimRepository, change: RefChange) -> Fields:
        world, html = self._world, f"{self._world.url}/{of.path}"
        base = of.default_branch if change.is_new else change.before[:12]
        head = None if change.is_gone else git(of.bare, "rev-parse", f"{change.after}^{{commit}}")
        return {
            "ref": change.ref,
            "before": change.before,
            "after": change.after,
            "created": change.is_new,
            "deleted": change.is_gone,
            "forced": not (change.is_new or change.is_gone) and not self._contains(of, change),
            "base_ref": None,
            "compare": f"{html}/compare/{base}...{change.after[:12]}",
            "commits": [payloads.commit(world, of, sha) for sha in self._commits(of, change)],
            "head_commit": payloads.commit(world, of, head) if head else None,
            "pusher": {"name": "ada", "email": "ada@example.com"},
        }

    def _commits(self, of: SimRepository, change: RefChange) -> list[str]:
        """What is new, oldest first. Of a tag, GitHub lists nothing."""
        if change.is_gone or not change.ref.startswith("refs/heads/"):
            return []
        others = ["--not", f"--exclude={change.ref}", "--branches"] if change.is_new else [f"^{change.before}"]
        return git(of.bare, "rev-list", "--reverse", change.after, *others).split()[-MAX_COMMITS:]

    def _contains(self, of: SimRepository, change: RefChange) -> bool:
        """Whether what was there before is in what is there now."""
        # Not `merge-base --is-ancestor`, whose answer is its exit status.
        return git(of.bare, "rev-list", "-1", change.before, f"^{change.after}") == ""

    def _suite(self, of: SimRepository, app: SimApp, action: str, sha: str) -> None:
        status = "queued" if action == "requested" else "completed"
        suite = payloads.check_suite(self._world, of, app, sha, status)
        self._tell_one(of, app, "check_suite", {"action": action, "check_suite": suite})

    def _tell_one(self, of: SimRepository, app: SimApp, event: str, fields: Fields) -> None:
        payload = {**fields, "repository": payloads.repository(self._world, of), "sender": self._sender_of()}
        self.tell_app(app, event, payload)

    def _follow(self, head: SimRepository, ref: str, after: str) -> None:
        """Requests whose branch moved."""
        branch = ref.removeprefix("refs/heads/")
        for base in list(self._world.repositories.values()):
            for number, each in list(base.requests.items()):
                if each["head"] is head and each["branch"] == branch and each["state"] == "open":
                    before, each["sha"] = each["sha"], after
                    self._mirror(base, each)
                    self.tell_request(base, number, "synchronize", before=before, after=after)

    def _mirror(self, base: SimRepository, request: Fields) -> None:
        source = f"refs/heads/{request['branch']}:refs/pull/{request['number']}/head"
        git(base.bare, "fetch", "--quiet", "--force", str(request["head"].bare), source)

    def _sender_of(self) -> Fields:
        return payloads.user(self._world, "ada")

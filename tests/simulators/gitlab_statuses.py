"""The part of a simulated GitLab's API about commits: statuses, comparison, refs, requests.

https://docs.gitlab.com/api/commits/
"""

from typing import Any

from service.ports import Clock
from tests.simulators.git import git, refs
from tests.simulators.gitlab_calls import Call, RefuseError, Reply, page, require
from tests.simulators.gitlab_records import CommitStatus, Pipeline, Project

MAX_CHARS = 255
_OPEN = ("created", "pending", "running")
# event -> from where it leads where. https://docs.gitlab.com/ci/ci_cd_for_external_repos/external_commit_statuses/
_MOVES = {
    "enqueue": (("created",), "pending"),
    "run": (("pending",), "running"),
    "success": (_OPEN, "success"),
    "drop": (_OPEN, "failed"),
    "cancel": (_OPEN, "canceled"),
    "skip": (("created", "pending"), "skipped"),
}
_EVENTS = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel"}


class StatusesApi:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = iter(range(90001, 1 << 62))
        self._pipelines = iter(range(70001, 1 << 62))
        self.job_limit = 1000  # of a pipeline
        self.max_diffs = 1000  # that a comparison lists
        self.knows_skipped = True  # 17.8 and later

    def add_pipeline(self, project: Project, sha: str, ref: str, source: str) -> Pipeline:
        pipeline = Pipeline(id=next(self._pipelines), sha=sha, ref=ref, source=source)
        project.pipelines.append(pipeline)
        return pipeline

    def put(self, call: Call, project: Project) -> Reply:
        account = require(call, project, "developer", writes=True)
        fields, sha = call.fields, self._commit(project, call.part(3))
        state = str(fields.get("state") or "")
        if state not in _EVENTS and not (state == "skipped" and self.knows_skipped):
            raise RefuseError(400, "", error="state does not have a valid value")
        ref = str(fields.get("ref") or "") or self._guess(project, sha)
        name = str(fields.get("name") or fields.get("context") or "default")
        for field in ("ref", "target_url", "description", "name"):
            if len(str(fields.get(field) or "")) > MAX_CHARS:
                raise RefuseError(400, {field: [f"is too long (maximum is {MAX_CHARS} characters)"]})
        pipeline = self._pipeline(project, sha, ref, fields, name)
        status = self._find(project, pipeline, name, account.username)
        is_new = status is None
        if status is None:
            status = CommitStatus(
                id=next(self._ids),
                pipeline_id=pipeline.id,
                sha=sha,
                ref=ref,
                name=name,
                username=account.username,
                created_at=self._clock.now(),
            )
        self._move(status, state)  # or nothing of it is kept
        status.target_url = fields.get("target_url", status.target_url)
        status.description = fields.get("description", status.description)
        if status.status not in _OPEN:
            status.finished_at = self._clock.now()
        if is_new:
            project.statuses.append(status)
        return Reply(status.shown(), 201)

    def list(self, call: Call, project: Project) -> Reply:
        """The newest of each name, unless `all`."""
        require(call, project, "reporter", writes=False)
        found = [each for each in project.statuses if each.sha == call.part(4)]
        if call.query.get("all") != "true":
            found = list({(each.pipeline_id, each.name): each for each in found}.values())
        return page(call, [each.shown() for each in found])

    def compare(self, call: Call, project: Project) -> Reply:
        require(call, project, "reporter", writes=False)
        before, after = (self._commit(project, call.query.get(name, "")) for name in ("from", "to"))
        dots = ".." if call.query.get("straight") == "true" else "..."
        listing = git(project.bare, "diff", "--name-status", "-z", "-M", f"{before}{dots}{after}").split("\0")[:-1]
        diffs, rest = [], iter(listing)
        for kind in rest:
            old = next(rest)
            new = next(rest) if kind[0] in "RC" else old
            diffs.append({"old_path": old, "new_path": new, "diff": "", "new_file": kind == "A"})
        commits = git(project.bare, "rev-list", "--reverse", f"{before}..{after}").split()
        value: dict[str, Any] = {
            "commit": {"id": commits[-1]} if commits else None,
            "commits": [{"id": each} for each in commits],
            "diffs": diffs[: self.max_diffs],
            "compare_timeout": len(diffs) > self.max_diffs,
            "compare_same_ref": before == after,
        }
        return Reply(value)

    def branches(self, call: Call, project: Project) -> Reply:
        require(call, project, "reporter", writes=False)
        kind = f"refs/{'heads' if call.part(3) == 'branches' else 'tags'}/"
        found = [(ref, sha) for ref, sha in refs(project.bare).items() if ref.startswith(kind)]
        return page(call, [{"name": ref.removeprefix(kind), "commit": {"id": sha}} for ref, sha in found])

    def request(self, call: Call, project: Project) -> Reply:
        require(call, project, "reporter", writes=False)
        number = call.part(3)
        found = project.requests.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise RefuseError(404, "404 Not found")
        names = ("iid", "source_branch", "target_branch", "source_project_id", "target_project_id", "sha", "state")
        return Reply({name: getattr(found, name) for name in names})

    def _commit(self, project: Project, name: str) -> str:
        if name.startswith("-"):
            raise RefuseError(404, "404 Commit Not Found")
        try:
            return git(project.bare, "rev-parse", "--verify", f"{name}^{{commit}}")
        except RuntimeError as error:
            raise RefuseError(404, "404 Commit Not Found") from error

    def _guess(self, project: Project, sha: str) -> str:
        names = git(project.bare, "for-each-ref", "--format=%(refname:short)", "--contains", sha, "refs/heads")
        if not names:
            raise RefuseError(404, "404 References for commit Not Found")
        return names.split()[0]

    def _pipeline(self, project: Project, sha: str, ref: str, fields: dict[str, Any], name: str) -> Pipeline:
        """The newest of commit and ref, or the one that is named, or a new one."""
        number = fields.get("pipeline_id")
        fitting = [
            each
            for each in reversed(project.pipelines)
            if each.sha == sha and each.ref == ref and (number is None or each.id == number)
        ]
        if not fitting:
            if number is not None:
                raise RefuseError(404, "404 Pipeline for pipeline_id, sha and ref Not Found")
            return self.add_pipeline(project, sha, ref, "external")
        jobs = [each for each in project.statuses if each.pipeline_id == fitting[0].id]
        if len(jobs) < self.job_limit or any(each.name == name and each.status in _OPEN for each in jobs):
            return fitting[0]
        if number is not None:
            raise RefuseError(422, "The number of jobs has exceeded the limit")
        return self.add_pipeline(project, sha, ref, "external")

    def _find(self, project: Project, pipeline: Pipeline, name: str, username: str) -> CommitStatus | None:
        """An open one of the same user. What ended is left alone: what follows is a new entry."""
        for each in project.statuses:
            is_same = (each.pipeline_id, each.name, each.username) == (pipeline.id, name, username)
            if is_same and each.status in _OPEN:
                return each
        return None

    def _move(self, status: CommitStatus, state: str) -> None:
        if state == "running" and status.status == "created":
            status.status = "pending"
        event = "skip" if state == "skipped" else _EVENTS[state]
        sources, target = _MOVES[event]
        if status.status not in sources:
            raise RefuseError(
                400,
                f"Cannot transition status via :{event} from :{status.status} "
                f'(Reason(s): Status cannot transition via "{event}")',
            )
        status.status = target

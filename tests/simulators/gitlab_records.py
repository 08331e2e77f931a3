"""What a simulated GitLab remembers."""

import datetime
import pathlib
from dataclasses import dataclass, field
from typing import Any

ROLES = {"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50}
FLAGS = {
    "push_events": True,
    "tag_push_events": False,
    "merge_requests_events": False,
    "issues_events": False,
    "enable_ssl_verification": True,
}
TEXTS = {"push_events_branch_filter": "", "branch_filter_strategy": "wildcard", "custom_webhook_template": ""}
GRACE_FAILURES = 3
MAX_FAILURES = 39
FIRST_PAUSE = datetime.timedelta(minutes=1)
LONGEST_PAUSE = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose token it is, and what it may do."""

    username: str
    scopes: frozenset[str]
    role: str
    projects: frozenset[str] | None  # None: all of them

    def reaches(self, path: str) -> bool:
        return self.projects is None or path in self.projects

    def is_at_least(self, role: str) -> bool:
        return ROLES[self.role] >= ROLES[role]


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A hook event: one delivery as it went, kept for 7 days."""

    id: int
    url: str
    trigger: str
    headers: dict[str, str]  # as shown: without the token
    data: dict[str, Any]
    key: str
    status: str
    body: str
    created_at: datetime.datetime

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "url": self.url,
            "trigger": self.trigger,
            "request_headers": self.headers,
            "request_data": self.data,
            "response_headers": {},
            "response_body": self.body,
            "execution_duration": 0.01,
            "response_status": self.status,
        }


@dataclass(slots=True, kw_only=True)
class WebHook:
    id: int
    project_id: int
    url: str
    created_at: datetime.datetime
    token: str = field(default="", repr=False)
    signing_token: str = field(default="", repr=False)
    flags: dict[str, bool] = field(default_factory=lambda: dict(FLAGS))
    texts: dict[str, str] = field(default_factory=lambda: dict(TEXTS))
    failures: int = 0
    disabled_until: datetime.datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)

    def alert_status(self, now: datetime.datetime) -> str:
        if self.failures > MAX_FAILURES:
            return "disabled"
        paused = self.disabled_until is not None and self.disabled_until >= now
        return "temporarily_disabled" if paused and self.failures > GRACE_FAILURES else "executable"

    def judge(self, *, is_good: bool, now: datetime.datetime) -> None:
        """A success enables it; a failure counts, and from the fourth in a row on it pauses for longer and longer."""
        if is_good:
            self.failures, self.disabled_until = 0, None
        elif self.alert_status(now) == "executable":
            self.failures += 1
            if self.failures > GRACE_FAILURES:
                pause = FIRST_PAUSE * 2.0 ** min(self.failures - GRACE_FAILURES - 1, 20)
                self.disabled_until = now + min(pause, LONGEST_PAUSE)

    def shown(self, now: datetime.datetime, *, signs: bool) -> dict[str, Any]:
        """Never with a secret. `signs`: whether this GitLab knows signing tokens."""
        until = self.disabled_until
        return {
            "id": self.id,
            "url": self.url,
            "name": "",
            "description": "",
            "project_id": self.project_id,
            "created_at": self.created_at.isoformat(),
            "alert_status": self.alert_status(now),
            "disabled_until": until.isoformat() if until is not None else None,
            "url_variables": [],
            "custom_headers": [],
            "token_present": bool(self.token),
            **self.flags,
            **self.texts,
            **({"signing_token_present": bool(self.signing_token)} if signs else {}),
        }


@dataclass(slots=True, kw_only=True)
class Pipeline:
    id: int
    sha: str
    ref: str
    source: str  # `external` for those that statuses made


@dataclass(slots=True, kw_only=True)
class CommitStatus:
    id: int
    pipeline_id: int
    sha: str
    ref: str
    name: str
    username: str
    status: str = "created"
    target_url: str | None = None
    description: str | None = None
    created_at: datetime.datetime
    finished_at: datetime.datetime | None = None

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "sha": self.sha,
            "ref": self.ref,
            "status": self.status,
            "name": self.name,
            "target_url": self.target_url,
            "description": self.description,
            "created_at": self.created_at.isoformat(),
            "started_at": None,
            "finished_at": self.finished_at.isoformat() if self.finished_at is not None else None,
            "allow_failure": False,
            "coverage": None,
            "pipeline_id": self.pipeline_id,
            "author": {"username": self.username, "name": self.username, "state": "active"},
        }


@dataclass(slots=True, kw_only=True)
class MergeRequest:
    iid: int
    source_branch: str
    target_branch: str
    source_project_id: int
    target_project_id: int
    sha: str
    state: str = "opened"


@dataclass(slots=True, kw_only=True)
class Project:
    id: int
    path: str
    private: bool
    default_branch: str
    bare: pathlib.Path
    host_url: str  # of the GitLab
    hooks: dict[int, WebHook] = field(default_factory=dict)
    pipelines: list[Pipeline] = field(default_factory=list)
    statuses: list[CommitStatus] = field(default_factory=list)
    requests: dict[int, MergeRequest] = field(default_factory=dict)
    old_paths: set[str] = field(default_factory=set)

    @property
    def forge_id(self) -> str:
        return str(self.id)

    @property
    def clone_url(self) -> str:
        return f"{self.host_url}/{self.path}.git"

    @property
    def web_url(self) -> str:
        return f"{self.host_url}/{self.path}"

    def shown(self) -> dict[str, Any]:
        name = self.path.rpartition("/")[2]
        return {
            "id": self.id,
            "name": name,
            "path": name,
            "path_with_namespace": self.path,
            "default_branch": self.default_branch,
            "visibility": "private" if self.private else "public",
            "http_url_to_repo": self.clone_url,
            "ssh_url_to_repo": f"git@gitlab.test:{self.path}.git",
            "web_url": self.web_url,
            "archived": False,
        }

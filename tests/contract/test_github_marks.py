"""What GitHub shows beside a commit: statuses by a token, check runs by an App; and what happens when it cannot."""

import datetime

import pytest

from runners.contract.job import Annotation
from service.adapters.forges.github_api import GitHubApi
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.mark import MarkState
from tests.contract.github_stage import NOW, PATH, Stage, mark, record, token_connection
from tests.fakes.clock import StoppedClock
from tests.servers import free_port
from tests.simulators.git import git
from tests.simulators.github_world import SimApp


@pytest.fixture
def sha(github: Stage) -> str:
    return git(github.work_tree(), "rev-parse", "HEAD")


@pytest.fixture
def app(github: Stage) -> SimApp:
    made = github.github.create_app("Kiln")
    github.github.install(made, PATH)
    return made


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (MarkState.WAITING, "pending"),
        (MarkState.PENDING, "pending"),
        (MarkState.RUNNING, "pending"),
        (MarkState.SUCCESS, "success"),
        (MarkState.SKIPPED, "success"),
        (MarkState.FAILURE, "failure"),
        (MarkState.ERROR, "error"),
        (MarkState.CANCELLED, "error"),
    ],
    ids=lambda value: value.value if isinstance(value, MarkState) else None,
)
def test_a_commit_status_by_a_token(github: Stage, sha: str, state: MarkState, shown: str) -> None:
    github.by_token({"statuses": "write"}).put_mark(mark(sha, state, board="esp32"), "")

    (status,) = github.github.statuses(PATH, sha)
    assert (status["state"], status["context"]) == (shown, "kiln/esp32")
    assert status["target_url"] == "http://kiln.lan/builds/17"


def test_a_description_that_is_too_long_is_cut_before_github_refuses_it(github: Stage, sha: str) -> None:
    github.by_token().put_mark(mark(sha, description="ж" * 141), "")
    assert len(github.github.statuses(PATH, sha)[0]["description"]) == 140


def test_the_thousandth_and_first_status_is_refused_for_good(github: Stage, sha: str) -> None:
    api = github.by_token()
    api.put_mark(mark(sha), "")
    github.github.world.get(PATH).statuses *= 1000

    with pytest.raises(ForgeRefusedError, match="reached the maximum number of statuses"):
        api.put_mark(mark(sha), "")


def test_a_status_on_a_commit_that_is_not_there_is_refused_for_good(github: Stage) -> None:
    with pytest.raises(ForgeRefusedError, match="No commit found for SHA"):
        github.by_token().put_mark(mark("a" * 40), "")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (MarkState.WAITING, ("completed", "action_required")),
        (MarkState.PENDING, ("queued", None)),
        (MarkState.RUNNING, ("in_progress", None)),
        (MarkState.SUCCESS, ("completed", "success")),
        (MarkState.FAILURE, ("completed", "failure")),
        (MarkState.ERROR, ("completed", "failure")),
        (MarkState.CANCELLED, ("completed", "cancelled")),
        (MarkState.SKIPPED, ("completed", "skipped")),
    ],
    ids=lambda value: value.value if isinstance(value, MarkState) else None,
)
def test_a_check_run_by_an_app(
    github: Stage, app: SimApp, sha: str, state: MarkState, shown: tuple[str, str | None]
) -> None:
    finished = NOW + datetime.timedelta(minutes=2) if state.is_final else None
    given = mark(sha, state, board="esp32", details="# It\n\nhas **details**", finished_at=finished)

    number = github.by_app(app).put_mark(given, "")

    (run,) = github.github.check_runs(PATH, sha)
    assert (str(run["id"]), run["status"], run["conclusion"]) == (number, *shown)
    assert (run["name"], run["external_id"]) == ("kiln/esp32", "17/esp32")
    assert (run["details_url"], run["started_at"]) == ("http://kiln.lan/builds/17", "2026-05-04T03:02:01Z")
    assert run["output"]["summary"] == "# It\n\nhas **details**"
    assert not state.is_final or run["completed_at"] == "2026-05-04T03:04:01Z"


def test_a_check_run_is_changed_and_not_made_twice(github: Stage, app: SimApp, sha: str) -> None:
    api = github.by_app(app)
    number = api.put_mark(mark(sha, MarkState.WAITING), "")
    for state in (MarkState.PENDING, MarkState.RUNNING, MarkState.SUCCESS):
        assert api.put_mark(mark(sha, state), number) == number

    (run,) = github.github.check_runs(PATH, sha)
    assert (run["conclusion"], run["external_id"]) == ("success", "17")


def test_a_check_run_that_is_gone_is_made_anew(github: Stage, app: SimApp, sha: str) -> None:
    api = github.by_app(app)
    number = api.put_mark(mark(sha), "")
    github.github.world.get(PATH).check_runs.clear()
    errors = (Annotation(path="a.c", line=1, text="no"),)

    newer = api.put_mark(mark(sha), number)
    github.github.world.get(PATH).check_runs.clear()
    newest = api.put_mark(mark(sha, MarkState.FAILURE, annotations=errors), newer)

    assert len({number, newer, newest}) == 3
    assert len(github.github.check_runs(PATH, sha)[0]["annotations"]) == 1


def test_annotations_are_shown_at_file_and_line_in_portions_and_never_twice(
    github: Stage, app: SimApp, sha: str
) -> None:
    api = github.by_app(app)
    errors = tuple(Annotation(path="src/main.c", line=number, text=f"error {number}") for number in range(120))
    failed = mark(sha, MarkState.FAILURE, board="esp32", annotations=errors)

    number = api.put_mark(failed, "")
    api.put_mark(failed, number)  # as after a crash between the effect and its record

    (run,) = github.github.check_runs(PATH, sha)
    assert [each["message"] for each in run["annotations"]] == [each.text for each in errors]
    assert run["annotations"][7] == {
        "path": "src/main.c",
        "start_line": 7,
        "end_line": 7,
        "annotation_level": "failure",
        "message": "error 7",
    }


def test_warnings_are_shown_after_the_errors_also_of_a_build_that_succeeded(
    github: Stage, app: SimApp, sha: str
) -> None:
    api = github.by_app(app)
    error = Annotation(path="src/net.py", line=2, text="SyntaxError")
    warnings = tuple(Annotation(path="src/net.py", line=line, text="a password is written here") for line in (5, 9))

    api.put_mark(mark(sha, MarkState.FAILURE, board="esp32", annotations=(error,), warnings=warnings), "")
    good = mark(sha, MarkState.SUCCESS, board="unix", warnings=warnings)
    api.put_mark(good, api.put_mark(good, ""))

    runs = {each["name"]: each for each in github.github.check_runs(PATH, sha)}
    shown = {
        name: [(each["start_line"], each["annotation_level"]) for each in run["annotations"]]
        for name, run in runs.items()
    }
    assert shown == {
        "kiln/esp32": [(2, "failure"), (5, "warning"), (9, "warning")],
        "kiln/unix": [(5, "warning"), (9, "warning")],
    }
    assert runs["kiln/unix"]["conclusion"] == "success"


def test_portions_that_were_lost_half_way_are_completed(github: Stage, app: SimApp, sha: str) -> None:
    api = github.by_app(app)
    errors = tuple(Annotation(path="a.c", line=number + 1, text=f"{number}") for number in range(70))
    failed = mark(sha, MarkState.FAILURE, annotations=errors)
    with github.github.down(only="PATCH"), pytest.raises(ForgeError):
        api.put_mark(failed, "")
    (half,) = github.github.check_runs(PATH, sha)
    assert len(half["annotations"]) == 50

    api.put_mark(failed, str(half["id"]))

    assert [each["message"] for each in half["annotations"]] == [each.text for each in errors]


def test_a_summary_over_the_limit_is_cut(github: Stage, app: SimApp, sha: str) -> None:
    github.by_app(app).put_mark(mark(sha, details="ж" * 70000, description="d" * 300), "")
    output = github.github.check_runs(PATH, sha)[0]["output"]
    assert (len(output["summary"].encode()), len(output["title"])) == (65534, 255)


@pytest.mark.parametrize(
    ("trouble", "wait_s"),
    [
        ({"retry_after_s": 7}, 7),
        ({"reset_s": 90}, 90),
        ({}, 60),
    ],
    ids=["secondary", "primary", "unnamed"],
)
def test_a_limit_says_how_long_to_wait(github: Stage, sha: str, trouble: dict[str, int], wait_s: int) -> None:
    github.github.world.clock = github.clock = StoppedClock(NOW)
    with github.github.limited(**trouble), pytest.raises(ForgeError) as caught:
        github.by_token().put_mark(mark(sha), "")
    assert caught.value.retry_after_s == wait_s


def test_an_outage_passes(github: Stage, sha: str) -> None:
    api = github.by_token()
    with github.github.down(502), pytest.raises(ForgeError, match="it answers 502"):
        api.put_mark(mark(sha), "")
    with github.github.down(503, retry_after_s=30), pytest.raises(ForgeError) as caught:
        api.put_mark(mark(sha), "")
    assert caught.value.retry_after_s == 30
    assert len(github.github.requests) == 2, "nothing is repeated behind our back"
    api.put_mark(mark(sha), "")


def test_a_host_that_does_not_answer_passes_too(github: Stage) -> None:
    connection = token_connection(f"127.0.0.1:{free_port()}", "a token of somebody")
    with pytest.raises(ForgeError, match=r"no answer \(ConnectionError\)"):
        GitHubApi(connection, record(connection), github.clock).describe()


def test_a_token_that_expired_is_refused_for_good(github: Stage) -> None:
    token = github.github.token(expires_at=NOW)
    connection = token_connection(github.github.host, token)
    with pytest.raises(ForgeRefusedError, match="give it a new token or key; it says: Bad credentials"):
        GitHubApi(connection, record(connection), github.clock).describe()

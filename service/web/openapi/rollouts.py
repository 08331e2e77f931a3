"""Roll-outs, and the plans that they follow."""

from service.domain.rollout import RolloutState, RowState
from service.web.openapi.builds import MAX_REPOSITORY_CHARS
from service.web.openapi.words import (
    LINE,
    Paths,
    Schema,
    anything,
    array,
    body,
    choice,
    flag,
    moment,
    nullable,
    number,
    operation,
    page,
    record,
    ref,
    text,
)
from service.web.paging import MAX_LIMIT, MAX_NUMBER
from service.web.rollout_views import STATES
from service.web.rollouts import MAX_NAMED, MAX_WHY_CHARS

_CHANNEL = text(32, minLength=1)
_ID = text(48, pattern="^[a-z0-9][a-z0-9-]*$")
_PAGE = {"limit": number(1, MAX_LIMIT), "after": text(200, about="`next` of the page before")}
_COUNTS = {name: number() for name in STATES}
_ROWS: Schema = array("RolloutDevice")

SCHEMAS: dict[str, Schema] = {
    "Rollout": record(
        id=number(1),
        repository=text(),
        channel=text(),
        build=number(1),
        version=text(),
        state=choice(*(each.value for each in RolloutState)),
        why=nullable(text(about="it does not go on, for people")),
        stage=number(1),
        stages=number(1),
        created_at=moment(),
        created_by=nullable(text(about="null: by a push")),
        started_at=nullable(moment()),
        finished_at=nullable(moment()),
        undone_by=nullable(number(1)),
    ),
    "WholeRollout": {
        "allOf": [
            ref("Rollout"),
            record(
                is_filled=flag("all its devices are written down"),
                approval=nullable(number(1)),
                counts=record(**_COUNTS),
                items=array(record(number=number(1), name=text(), **_COUNTS)),
                failures=_ROWS,
                unheard=_ROWS,
                plan=anything(),
            ),
        ]
    },
    "RolloutDevice": record(
        device=text(),
        stage=number(1),
        state=choice(*(each.value for each in RowState)),
        reason=nullable(text()),
        tries=number(),
        heard=nullable(flag("it said that it follows the order")),
        since=moment(),
    ),
    "Plan": record(repository=text(), channel=text(), is_default=flag("nobody has said otherwise"), plan=anything()),
}

_ONE = "/api/v1/rollouts/{rollout}"
_WHOSE = {"repository": text(MAX_REPOSITORY_CHARS, minLength=1), "channel": _CHANNEL}


def _deed(summary: str, takes: Schema | None = None) -> dict[str, Schema]:
    return {"post": operation(summary, {202: "WholeRollout"}, takes=takes, right="devices")}


PATHS: Paths = {
    "/api/v1/rollouts": {
        "get": operation(
            "Roll-outs, newest first",
            {200: page("Rollout")},
            query={
                "repository": text(MAX_REPOSITORY_CHARS),
                "channel": text(32),
                "limit": number(1, MAX_LIMIT),
                "after": number(0, MAX_NUMBER),
            },
            right="devices",
        )
    },
    _ONE: {
        "get": operation(
            "One roll-out: counts of each stage, who failed and why", {200: "WholeRollout"}, right="devices"
        )
    },
    f"{_ONE}/devices": {
        "get": operation(
            "Its devices, in the order of their ids",
            {200: page("RolloutDevice")},
            query={"state": choice(*(each.value for each in RowState)), **_PAGE},
            right="devices",
        )
    },
    f"{_ONE}/plan": {
        "put": operation(
            "Another plan for this roll-out; once it began, its stages keep their devices",
            {202: "WholeRollout"},
            takes=body({"plan": anything()}),
            right="devices",
        )
    },
    f"{_ONE}/pause": _deed("Tell nobody any more"),
    f"{_ONE}/resume": _deed("Go on; what has failed up to now stops it no more"),
    f"{_ONE}/approve": _deed("Let the stage begin that waits for it"),
    f"{_ONE}/abort": _deed(
        "Give it up; who was told and did not update is called back",
        body({}, {"why": text(MAX_WHY_CHARS, pattern=LINE)}),
    ),
    f"{_ONE}/retry": _deed(
        "Try those again that failed, or those that are named",
        body(
            {}, {"devices": {**array(text(48, pattern="^[a-z0-9][a-z0-9-]*$")), "minItems": 1, "maxItems": MAX_NAMED}}
        ),
    ),
    "/api/v1/plans": {
        "get": operation(
            "How releases are rolled out that come to a channel",
            {200: "Plan"},
            query=_WHOSE,
            needs=("repository", "channel"),
            right="devices",
        ),
        "put": operation(
            "Roll out like this from now on (docs/fleet.md)",
            {200: "Plan"},
            takes=body({**_WHOSE, "plan": anything()}),
            right="devices",
        ),
        "delete": operation(
            "Roll out as by default", {200: "Plan"}, query=_WHOSE, needs=("repository", "channel"), right="devices"
        ),
    },
}

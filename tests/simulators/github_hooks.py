"""The simulated API of webhooks and of their deliveries.

https://docs.github.com/en/rest/repos/webhooks
"""

from typing import Any

from tests.simulators import github_payloads as payloads
from tests.simulators.github_desk import Answer, Call, RefusedError, Route, route
from tests.simulators.github_events import Events
from tests.simulators.github_sender import Sender
from tests.simulators.github_world import HOOK_CONFIG, Delivery, Hook

MAX_HOOKS = 20  # for one event
KEPT_DAYS = 3


class Hooks:
    def __init__(self, sender: Sender, events: Events) -> None:
        self._sender = sender
        self._events = events

    def routes(self) -> list[Route]:
        read, write = "repository_hooks:read", "repository_hooks:write"
        table: list[tuple[str, str, Any, str]] = [
            ("GET", "", self.list_hooks, read),
            ("POST", "", self.add, write),
            ("GET", "/{}", self.show, read),
            ("PATCH", "/{}", self.change, write),
            ("DELETE", "/{}", self.remove, write),
            ("POST", "/{}/pings", self.ping, read),
            ("GET", "/{}/deliveries", self.list_deliveries, read),
            ("POST", "/{}/deliveries/{}/attempts", self.again, write),
        ]
        return [
            *(
                route(method, f"{prefix}/hooks{path}", handler, right)
                for method, path, handler, right in table
                for prefix in ("/repos/{}/{}", "/repositories/{}")
            ),
            route("GET", "/app/hook/config", self.app_config),
            route("PATCH", "/app/hook/config", self.change_app),
            route("GET", "/app/hook/deliveries", self.app_deliveries),
            route("POST", "/app/hook/deliveries/{}/attempts", self.app_again),
        ]

    def list_hooks(self, call: Call) -> Answer:
        return Answer(body=[self._shown(call, each) for each in call.at.hooks.values()])

    def add(self, call: Call) -> Answer:
        config = _config(call.body.get("config"))
        events = list(call.body.get("events", ["push"]))
        same = [each for each in call.at.hooks.values() if each.config["url"] == config["url"]]
        if any(set(each.events) & set(events) for each in same):
            raise RefusedError(422, "Validation Failed", errors=[{"message": "Hook already exists on this repository"}])
        if len(call.at.hooks) >= MAX_HOOKS:
            text = f'The "push" event cannot have more than {MAX_HOOKS} hooks'
            raise RefusedError(422, "Validation Failed", errors=[{"message": text}])
        made = Hook(
            id=call.world.new_id(),
            target="repository",
            target_id=call.at.id,
            config=config,
            events=events,
            active=call.body.get("active", True),
            created=call.world.now(),
        )
        call.at.hooks[made.id] = made
        self._events.ping(made, call.at)
        return Answer(status=201, body=self._shown(call, made))

    def show(self, call: Call) -> Answer:
        return Answer(body=self._shown(call, self._hook(call)))

    def change(self, call: Call) -> Answer:
        hook = self._hook(call)
        if "config" in call.body:
            hook.config = _config(call.body["config"])
        hook.events = list(call.body.get("events", hook.events))
        hook.active = call.body.get("active", hook.active)
        return Answer(body=self._shown(call, hook))

    def remove(self, call: Call) -> Answer:
        del call.at.hooks[self._hook(call).id]
        return Answer(status=204)

    def ping(self, call: Call) -> Answer:
        self._events.ping(self._hook(call), call.at)
        return Answer(status=204)

    def list_deliveries(self, call: Call) -> Answer:
        return _page(call, self._hook(call))

    def again(self, call: Call) -> Answer:
        return self._again(call, self._hook(call), call.parts[1])

    def app_config(self, call: Call) -> Answer:
        return Answer(body=_hidden(call.signed.hook.config))

    def change_app(self, call: Call) -> Answer:
        hook = call.signed.hook
        hook.config = _config({**hook.config, **call.body})
        return Answer(body=_hidden(hook.config))

    def app_deliveries(self, call: Call) -> Answer:
        return _page(call, call.signed.hook)

    def app_again(self, call: Call) -> Answer:
        return self._again(call, call.signed.hook, call.parts[0])

    def _again(self, call: Call, hook: Hook, number: str) -> Answer:
        found = next((each for each in hook.deliveries if each.id == int(number)), None)
        if found is None:
            raise RefusedError(404, "Not Found")
        if (call.world.clock.now() - found.at).days >= KEPT_DAYS:
            raise RefusedError(422, "This delivery is too old to be redelivered")
        self._sender.again(hook, found)
        return Answer(status=202, body={})

    def _hook(self, call: Call) -> Hook:
        found = call.at.hooks.get(int(call.parts[0]))
        if found is None:
            raise RefusedError(404, "Not Found")
        return found

    def _shown(self, call: Call, hook: Hook) -> dict[str, Any]:
        shown = payloads.hook(call.world, hook, call.at)
        if hook.deliveries:
            last = hook.deliveries[-1]
            status = "active" if last.is_ok else "failed"
            shown["last_response"] = {"code": last.code, "status": status, "message": last.status}
        return shown


def _config(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not str(given.get("url", "")).startswith(("http://", "https://")):
        raise RefusedError(422, "Validation Failed", errors=[{"field": "url", "message": "url is not valid"}])
    config = {"content_type": "form", "insecure_ssl": "0", "secret": "", **given}
    return {name: str(config[name]) for name in HOOK_CONFIG}


def _hidden(config: dict[str, str]) -> dict[str, str]:
    return {**config, "secret": "********"} if config.get("secret") else {**config}


def _page(call: Call, hook: Hook) -> Answer:
    """Newest first; the cursor is the number of the first one that was not shown."""
    size = min(int(call.query.get("per_page", "30")), 100)
    newest = sorted(hook.deliveries, key=lambda each: each.id, reverse=True)
    cursor = call.query.get("cursor", "")
    if cursor:
        newest = [each for each in newest if each.id <= int(cursor.removeprefix("v1_"))]
    headers = {}
    if len(newest) > size:
        address = f"{call.world.api}{call.path}?per_page={size}&cursor=v1_{newest[size].id}"
        headers["Link"] = f'<{address}>; rel="next"'
    return Answer(body=[_delivery(each) for each in newest[:size]], headers=headers)


def _delivery(of: Delivery) -> dict[str, Any]:
    return {
        "id": of.id,
        "guid": of.guid,
        "delivered_at": of.at.isoformat().replace("+00:00", "Z"),
        "redelivery": of.redelivery,
        "duration": 0.1,
        "status": of.status,
        "status_code": of.code,
        "event": of.event,
        "action": of.action,
        "installation_id": None,
        "repository_id": of.repository,
        "throttled_at": None,
    }

"""Home Assistant itself, for tests: its core with its MQTT integration, as a broker's client.

`home_assistant.py FOLDER PAGE_PORT BROKER_PORT USER PASSWORD`, run by `.kiln/outside/home-assistant/bin/python`, which
has Home Assistant's packages and nothing of ours. Each line on standard input is a question in JSON (`["devices"]`,
`["install", "update.lamp_firmware"]`), each line on standard output its answer, after a first one that says which Home
Assistant this is. A question that Home Assistant refuses is answered with {"error": sentence}.
"""

import asyncio
import json
import logging
import pathlib
import sys
from typing import Any

import voluptuous
from homeassistant import auth, config_entries, const, core, loader
from homeassistant.components.mqtt import binary_sensor, device_trigger, discovery, tag, update  # noqa: F401
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import (
    area_registry,
    category_registry,
    device_registry,
    entity,
    entity_registry,
    floor_registry,
    issue_registry,
    label_registry,
    restore_state,
    translation,
)
from homeassistant.setup import async_setup_component

REGISTRIES = (
    area_registry,
    category_registry,
    device_registry,
    entity_registry,
    floor_registry,
    issue_registry,
    label_registry,
    restore_state,
)
PLATFORMS = {"update": update, "binary_sensor": binary_sensor}
OF_A_DEVICE = ("name", "manufacturer", "model", "serial_number", "sw_version", "configuration_url")


class Complaints(logging.Handler):
    """Every error, and what its integrations warned of. Its core warns of its own integrations and packages, too."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.name.startswith("homeassistant.components."):
            self.said.append(f"{record.name}: {record.getMessage()}")


class Answers:
    """One method for each question."""

    def __init__(self, home: core.HomeAssistant, complaints: Complaints) -> None:
        self._home, self._complaints = home, complaints

    async def devices(self) -> list[dict[str, Any]]:
        known = device_registry.async_get(self._home).devices.values()
        return [
            {
                **{name: getattr(each, name) for name in OF_A_DEVICE},
                "identifiers": sorted(name for _, name in each.identifiers),
                "entities": self._entities(each.id),
            }
            for each in known
        ]

    def _entities(self, device: str) -> dict[str, dict[str, Any]]:
        """Of a device, by their unique id."""
        found = {}
        registry = entity_registry.async_get(self._home)
        for each in entity_registry.async_entries_for_device(registry, device, include_disabled_entities=True):
            state = self._home.states.get(each.entity_id)
            found[each.unique_id] = {
                "id": each.entity_id,
                "category": each.entity_category,
                "state": state.state if state else None,
                "attributes": dict(state.attributes) if state else {},
            }
        return found

    async def install(self, name: str) -> None:
        """As a press of the button."""
        await self._home.services.async_call("update", "install", {"entity_id": name}, blocking=True)

    async def complaints(self) -> list[str]:
        return list(self._complaints.said)

    async def discovery(self, payload: str) -> dict[str, Any]:
        """What it takes out of a discovery message of a device: all of it, and each component through its schema."""
        before = len(self._complaints.said)
        taken = discovery._parse_device_payload(self._home, payload, "d1", None)
        if not taken:
            raise HomeAssistantError("; ".join(self._complaints.said[before:]) or "nothing is in it")
        components = {}
        for name, each in taken["components"].items():
            config = discovery.MQTTDiscoveryPayload(each)
            platform = config.pop("platform")
            discovery._merge_common_device_options(config, taken)
            config["device"] = taken["device"]
            components[name] = sorted(PLATFORMS[platform].DISCOVERY_SCHEMA(config))
        return {"components": components}

    async def state(self, payload: str) -> dict[str, Any]:
        """What it takes out of the state of an update."""
        return dict(update.MQTT_JSON_UPDATE_SCHEMA(json.loads(payload)))


async def started(folder: str, page: int, broker: dict[str, Any]) -> core.HomeAssistant:
    """Its set-up page was told of this broker, now or before an earlier start."""
    home = core.HomeAssistant(folder)
    home.config.skip_pip = True  # all that it needs is here
    home.config_entries = config_entries.ConfigEntries(home, {})
    loader.async_setup(home)
    translation.async_setup(home)
    entity.async_setup(home)
    for each in REGISTRIES:
        await each.async_load(home)
    await home.config_entries.async_initialize()
    home.auth = await auth.auth_manager_from_config(home, [], [])
    assert await async_setup_component(home, "http", {"http": {"server_host": "127.0.0.1", "server_port": page}})
    if home.config_entries.async_entries("mqtt"):
        assert await async_setup_component(home, "mqtt", {})
        await home.async_start()
    else:
        await home.async_start()
        await set_up(home, broker)
    await home.async_block_till_done()
    return home


async def set_up(home: core.HomeAssistant, broker: dict[str, Any]) -> None:
    """As a person does it on the page of the MQTT integration. Raises: HomeAssistantError."""
    form = await home.config_entries.flow.async_init("mqtt", context={"source": config_entries.SOURCE_USER})
    done = await home.config_entries.flow.async_configure(form["flow_id"], broker)
    if done["type"] != "create_entry":
        raise HomeAssistantError(f"no set-up with {broker['broker']}:{broker['port']}: {done.get('errors')}")


async def answer(answers: Answers, line: str) -> Any:
    question, *words = json.loads(line)
    try:
        return await getattr(answers, question)(*words)
    except (HomeAssistantError, voluptuous.Invalid) as error:
        return {"error": str(error)}


async def serve(folder: str, page: int, broker: dict[str, Any], complaints: Complaints) -> None:
    """Until standard input ends."""
    home = await started(folder, page, broker)
    answers = Answers(home, complaints)
    print(json.dumps({"version": const.__version__}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(answers, line), default=str), flush=True)
    await home.async_stop()


def main() -> None:
    folder, page, port, user, password = sys.argv[1:]
    pathlib.Path(folder, "configuration.yaml").write_text("# nothing but what the set-up page asks for\n")
    complaints = Complaints()
    logging.basicConfig(filename=pathlib.Path(folder, "home-assistant.log"), level=logging.INFO)
    logging.getLogger().addHandler(complaints)
    broker = {"broker": "127.0.0.1", "port": int(port), "username": user, "password": password}
    asyncio.run(serve(folder, int(page), broker, complaints))


if __name__ == "__main__":
    main()

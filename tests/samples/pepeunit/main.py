# Soil probe: reads the moisture and temperature of the ground, and opens a valve when it is dry.
import asyncio
import gc
import time

from drivers.moisture import Moisture
from drivers.valve import Valve
from pepeunit_micropython_client.enums import SearchScope, SearchTopicType


class Probe:
    def __init__(self, client):
        self.client = client
        self.moisture = Moisture(client.settings.PIN_MOISTURE, client.settings.DRY_RAW, client.settings.WET_RAW)
        self.valve = Valve(client.settings.PIN_VALVE, client.settings.IS_VALVE_INVERTED)
        self.sent_at = None

    def on_message(self, client, message):
        if message.topic.endswith("/pepeunit") and "set_valve" in message.topic:
            self.valve.set(message.payload == "1")

    def on_turn(self, client):
        now = time.ticks_ms()
        if self.sent_at is not None and time.ticks_diff(now, self.sent_at) < client.settings.PERIOD_S * 1000:
            return
        self.sent_at = now
        percent = self.moisture.percent()
        if percent < client.settings.OPEN_BELOW_PERCENT:
            self.valve.set(True)
        client.publish_to_topics("current_moisture/pepeunit", str(percent))
        client.logger.info("moisture was sent")
        gc.collect()


def make(client):
    probe = Probe(client)
    client.set_mqtt_input_handler(probe.on_message)
    client.set_output_handler(probe.on_turn)
    client.subscribe_all_schema_topics()
    client.search_topic_in_schema("set_valve", SearchTopicType.CURRENT_NODE_TOPIC, SearchScope.INPUT)
    return probe


async def main(client):
    make(client)
    await client.run_main_cycle()


if __name__ == "__main__":
    asyncio.run(main(client))  # noqa: F821  # of boot.py

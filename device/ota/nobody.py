# Who answers an application's calls where there is no identity: with a code ota/claim.py, which
# asks for one, else nobody. Then there is nothing to do but to sleep, which a board with a battery
# must not come back from at once.
from ota import hal


class Nobody:
    """Stands in for ota.agent.Agent."""

    busy = False
    well = False

    def tick(self):
        pass

    def unhealthy(self, _why):
        pass

    def deepsleep(self, ms):
        from ota import chip

        hal.log("deep sleep,", ms, "ms")
        chip.deepsleep(ms, b"")

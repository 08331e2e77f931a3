# Kiln's update agent. The board's main.py calls run(); the application uses the rest:
#
#   import ota
#   while True:
#       work(ota.settings["PERIOD_S"])
#       ota.sleep_ms(1000)          # or ota.tick() often, or for asyncio create_task(ota.task())
#
# Without the agent (on a desk, in an application's tests) every call is harmless.

settings = {}  # settings.json, filled before the application starts

_agent = None
_ticking = False


def run(loaded=None, dog=None):
    """Start the agent and, through it, the application. Does not return.

    `loaded` is what the loader knows of this agent (ota_loader.py), None without one; `dog` is the
    watchdog that it armed for the trial of this agent, if it did.
    """
    import gc

    # Collected often, garbage does not drive long-lived objects apart: 3,072-bit numbers need
    # their 768 bytes in one piece.
    if hasattr(gc, "threshold"):
        gc.threshold(4096)  # bytes
    from ota import hal, slots

    try:
        if any(slots.waits("", left) for left in range(1, slots.STARTS + 1)):
            from ota import alone

            alone.run("", loaded)
        _live(loaded, dog)
    except ImportError:
        raise  # a file of this agent is damaged: the loader knows another
    except Exception as e:
        # The agent itself failed, out of memory for example. A board never ends here: it starts
        # again, and a trial that keeps failing is rolled back by the count of its starts.
        from ota import logbook

        logbook.explain(e, "")
        if not (loaded and loaded["trial"]):
            hal.sleep_ms(5000)
    hal.reset()


def _live(loaded, dog):
    global _agent
    from ota import agent, hal

    try:
        _agent = agent.Agent("", loaded)
    except (OSError, ValueError) as e:
        if loaded and loaded["trial"]:
            raise  # perhaps only this new agent cannot read it: back to the one before
        # No identity, no updates; but what is installed still runs.
        hal.log("no agent:", *e.args)
        from ota import claim, start

        _agent = claim.begin("")
        if _agent is None:
            hal.log("no updates without /kiln/device.json, which `kiln devices add` writes")
        start.without_agent()
        if _agent is not None:
            _agent.stay()
        return
    _agent.dog = dog
    settings.update(_agent.settings)
    _agent.run()


def tick():
    """Let the agent work: a few milliseconds, never waiting. Restarts the board for an update."""
    global _ticking
    if _agent is not None and not _ticking:  # threads may both come here
        _ticking = True
        try:
            _agent.tick()
        finally:
            _ticking = False


def sleep_ms(ms):
    """Sleep and let the agent work meanwhile."""
    from ota import hal

    start = hal.ticks_ms()
    while True:
        tick()
        left = ms - hal.ticks_diff(hal.ticks_ms(), start)
        if left <= 0:
            return
        hal.sleep_ms(min(left, 50))


async def task():
    """The same for an asyncio application: run it beside the others."""
    import asyncio

    while True:
        tick()
        await asyncio.sleep(0.05)


def healthy():
    """The release works: confirm it now, without waiting for time and broker."""
    if _agent is not None:
        _agent.healthy()


def unhealthy(why):
    """The release does not work: roll back at once while on trial, report in any case."""
    if _agent is not None:
        _agent.unhealthy(why)


def busy(value):
    """Postpone restarts for an update while `value` is true."""
    if _agent is not None:
        _agent.busy = bool(value)


def deepsleep(ms):
    """Sleep deeply and start again after `ms`: an orderly end, also of a trial."""
    if _agent is not None:
        _agent.deepsleep(ms)

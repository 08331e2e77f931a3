# Kiln's update agent. The board's main.py calls run(); the application uses the rest:
#
#   import ota
#   while True:
#       work(ota.settings["PERIOD_S"])
#       ota.sleep_ms(1000)          # or ota.tick() often, or for asyncio create_task(ota.task())
#
# Without the agent (on a desk, in an application's tests) every call is harmless.
try:
    from _thread import allocate_lock, get_ident

    _lock = allocate_lock()
except ImportError:  # no threads on this port
    _lock = None

settings = {}  # settings.json, filled before the application starts

_STUCK = 400000  # ms; no turn of the agent, nor the pause after a crash, takes that long

_agent = None
_inside = 0  # the thread that is in the agent
_wanted = False  # another one waits for it


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
        from ota import failure

        failure.explain(e, loaded)
        if not (loaded and loaded["trial"]):
            hal.sleep_ms(5000)
    hal.reset()


def _live(loaded, dog):
    global _agent
    from ota import app, begin

    _agent = begin.find(loaded)
    if _agent is None:
        return
    del begin
    app.forget("begin")
    _agent.dog = dog
    settings.update(_agent.settings)
    _agent.run()


def tick():
    """Let the agent work: a few milliseconds, never waiting. Restarts the board for an update.

    Does nothing while another thread is in the agent, which works then.
    """
    if _agent is not None:
        call(False, _agent.tick)


def call(patient, what, *args):
    """Call `what`, of the agent, if no other thread is in it; if `patient` as soon as none is.

    In a timer's callback within this thread's own turn at once, if there are arguments.
    """
    global _inside, _wanted
    me = get_ident() if _lock else 1
    if _inside == me:
        if args:
            what(*args)
        return
    if _wanted and not patient:
        return
    wait = _STUCK
    try:
        while _lock and not _lock.acquire(0):
            if not patient:
                return
            _wanted = True  # or a thread that does nothing but tick would hardly leave a gap
            from ota import hal

            hal.sleep_ms(1)
            wait -= 1
            if not wait:
                hal.reset()
        _inside = me
        what(*args)
    finally:
        if patient:
            _wanted = False
        if _inside == me:
            _inside = 0
            if _lock:
                _lock.release()


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
        _agent.well = True
        call(True, _agent.tick)


def unhealthy(why):
    """The release does not work: roll back at once while on trial, report in any case."""
    if _agent is not None:
        call(True, _agent.unhealthy, why)


def busy(value):
    """Postpone restarts for an update while `value` is true."""
    if _agent is not None:
        _agent.busy = bool(value)


def deepsleep(ms):
    """Sleep deeply and start again after `ms`: an orderly end, also of a trial."""
    if _agent is not None:
        call(True, _agent.deepsleep, ms)

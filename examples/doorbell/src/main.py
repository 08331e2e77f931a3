# A doorbell of three tasks with asyncio: button, bell, and the agent beside them.
import asyncio

import counter
import hardware

import ota

VERSION = "1"
HEALTHY_AFTER_MS = 2000  # then every task must have gone round a few times
ROUNDS = 3
BEAT_MS = 50

presses = counter.Counter("/data/presses")
pressed = asyncio.Event()
beats = {"button": 0, "bell": 0}


async def watch(button):
    """Wait for the button to go down, again and again."""
    was_down = True
    while True:
        down = button()
        if down and not was_down:
            pressed.set()
        was_down = down
        beats["button"] += 1
        await asyncio.sleep_ms(BEAT_MS)


async def ring(bell, greeting, rings):
    """Ring whenever the button was pressed."""
    while True:
        beats["bell"] += 1
        if pressed.is_set():
            pressed.clear()
            ota.busy(True)  # somebody is at the door: an update can wait
            print(greeting, presses.add())
            for _ in range(rings):
                beats["bell"] += 1
                bell(True)
                await asyncio.sleep_ms(200)
                bell(False)
                await asyncio.sleep_ms(100)
            ota.busy(False)
        await asyncio.sleep_ms(BEAT_MS)


async def look_after():
    """The health check: a task that hangs keeps the release from being confirmed."""
    await asyncio.sleep_ms(HEALTHY_AFTER_MS)
    if min(beats.values()) >= ROUNDS:
        ota.healthy()
    else:
        ota.unhealthy("a task hangs: %s" % beats)


async def main():
    settings = ota.settings
    print("doorbell", VERSION, "presses so far", presses.value)
    bell = hardware.bell(settings.get("BELL_PIN", 5))
    button = hardware.button(settings.get("BUTTON_PIN", 4))
    await asyncio.gather(
        ota.task(),  # lets the agent work; it restarts the board for an update
        watch(button),
        ring(bell, settings.get("GREETING", "ding dong"), settings.get("RINGS", 2)),
        look_after(),
    )


asyncio.run(main())

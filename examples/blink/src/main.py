# Blinks, and says which version does so.
import blink

import ota

VERSION = "1"

print("blink", VERSION, "on", blink.place())

lamp = blink.lamp(ota.settings.get("LED_PIN", 2))
period_ms = ota.settings.get("PERIOD_S", 2) * 1000
while True:
    lamp(True)
    ota.sleep_ms(100)  # sleeps, and lets the agent look for a newer release
    lamp(False)
    ota.sleep_ms(period_ms - 100)

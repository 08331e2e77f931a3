# A window that opens when it is too warm. Blocking: one loop, and ota.sleep_ms where it waits.
import climate
import diary
import hardware

import ota

VERSION = "1"
TRUSTED_READINGS = 3  # as many sensible readings in a row: this release works

target = ota.settings.get("TARGET_C", 24)
period_ms = ota.settings.get("PERIOD_S", 30) * 1000
read = hardware.thermometer(ota.settings.get("SENSOR_PIN", 34))
window = hardware.Window(ota.settings.get("WINDOW_PIN", 18))
days = diary.Diary("/data/greenhouse.json")

print("greenhouse", VERSION, "target", target, "readings so far", days.readings)

opened = False
good = bad = 0
while True:
    celsius = read()
    if climate.plausible(celsius):
        good, bad = good + 1, 0
        days.note(celsius)
    else:
        good, bad = 0, bad + 1
    if good == TRUSTED_READINGS:
        ota.healthy()  # confirms a release that is on trial, at once
    if bad == TRUSTED_READINGS:
        # On trial this returns to the release before; later it is reported, no more.
        ota.unhealthy("no sensible temperature: %s" % celsius)

    wanted = climate.opened(celsius, target, opened) if good else opened
    if wanted != opened:
        ota.busy(True)  # no restart for an update while the window moves
        window.move(wanted, ota.sleep_ms)
        ota.busy(False)
        opened = wanted
        print("window", "open" if opened else "closed", "at", celsius)
    ota.sleep_ms(period_ms)

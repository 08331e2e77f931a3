# Joining the Wi-Fi of the settings, where the board has one. With hal.py and chip.py the only file
# that knows the hardware. Imported at a start, and forgotten.


def join(settings, again=False):
    """Start joining the Wi-Fi of the settings, where the board has one. Returns at once.

    `again`: also when it is connected already. ESP8266 connects by itself to the last network that
    worked, which would hide a wrong password from a trial of other settings.
    """
    ssid = settings.get("WIFI_SSID")
    if not ssid:
        return
    try:
        import network
    except ImportError:
        return
    station = network.WLAN(network.STA_IF)
    station.active(True)
    if station.isconnected():
        if not again and _joined(station) == ssid:
            return
        station.disconnect()
    station.connect(ssid, settings.get("WIFI_PASSWORD", ""))


def online():
    """Whether the network is there, True where it is not ours to join."""
    try:
        import network

        return network.WLAN(network.STA_IF).isconnected()
    except (ImportError, AttributeError):
        return True


def _joined(station):
    try:
        return station.config("ssid")
    except (OSError, ValueError):
        return None

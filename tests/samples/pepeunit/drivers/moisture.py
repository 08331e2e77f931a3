# A capacitive moisture sensor on an analogue pin: the drier, the higher the reading.
from machine import ADC, Pin


class Moisture:
    def __init__(self, pin, dry_raw, wet_raw):
        self.adc = ADC(Pin(pin))
        self.dry_raw = dry_raw
        self.wet_raw = wet_raw

    def percent(self):
        raw = self.adc.read_u16()
        share = (self.dry_raw - raw) / (self.dry_raw - self.wet_raw)
        return int(100 * min(1, max(0, share)))

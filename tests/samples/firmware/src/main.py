import lib.lamp

lib.lamp.on()

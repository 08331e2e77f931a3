# The LED of an ESP8266 module hangs between the supply and the pin.
LIT = 0

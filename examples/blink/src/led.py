# The level that lights the LED. boards/ holds what differs.
LIT = 1

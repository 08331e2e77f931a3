#!/bin/sh
# Copy the unit onto a board by hand.
mpremote cp -r drivers main.py env.json schema.json :

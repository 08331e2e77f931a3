import pins


def on():
    print("on", pins.LED)

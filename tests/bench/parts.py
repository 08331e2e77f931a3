"""Parts of firmware in MicroPython, written from the templates in parts.txt with other names and numbers each time.

`<2-90>` is a number, `<a|b>` one of these, `<hex>`, `<unit>` and `<word>` speak for themselves. `for all` repeats up to
`end` for some words, `@` being the word; `maybe 40` is there in 40 of 100 cases.
"""

import pathlib
import random
import re
from collections.abc import Iterator

WORDS = (
    *("ambient", "battery", "beacon", "boiler", "bridge", "buffer", "button", "buzzer", "cabin", "carrier", "cellar"),
    *("charger", "coil", "current", "damper", "dew", "door", "drain", "driver", "engine", "fan", "feeder", "filter"),
    *("flow", "frost", "fuel", "gate", "gauge", "gear", "grid", "heater", "hopper", "inlet", "lamp", "latch", "leak"),
    *("level", "lever", "light", "link", "lock", "loop", "meter", "mixer", "motor", "nozzle", "outlet", "panel"),
    *("phase", "pipe", "pitch", "plant", "pool", "power", "probe", "pulse", "pump", "rain", "relay", "roof", "rotor"),
    *("shade", "shaft", "signal", "soil", "spray", "stage", "steam", "switch", "tank", "tap", "timer", "tower", "tray"),
    *("valve", "vent", "water", "weight", "wheel", "wind", "window", "zone"),
)
UNITS = ("celsius", "percent", "pascal", "lux", "volt", "ampere", "litre", "metre", "gram", "hertz")
KINDS = tuple(
    part.partition("\n")[2]
    for part in re.split(r"^== ", pathlib.Path(__file__).with_suffix(".txt").read_text("utf-8"), flags=re.MULTILINE)[1:]
)
_NUMBER = re.compile(r"(\d+)-(\d+)")
_CHOICE = re.compile(r"<([a-z0-9A-Z<>+|-]*?[a-z0-9A-Z<>+-])>(?=\W|f|$)")


def part(kind: int, name: str, chance: random.Random) -> str:
    """The source text of one part about the thing `name`."""
    words = chance.sample(WORDS, chance.randrange(4, 9))
    text = "\n".join(_lines(iter(KINDS[kind].split("\n")), words, words[0], chance))
    text = text.replace("NAME", name.title().replace("_", "")).replace("THING", name.replace("_", " "))
    return text.replace("PATH", name)


def _lines(template: Iterator[str], words: list[str], word: str, chance: random.Random) -> Iterator[str]:
    """Up to the `end` that belongs here."""
    for line in template:
        if line == "end":
            return
        if line.startswith("for "):
            block = list(_block(template))
            first, _, last = line[4:].replace("all", ":").partition(":")
            for each in words[int(first or 0) : int(last or len(words))]:
                yield from _lines(iter(block), words, each, chance)
        elif line.startswith("maybe "):
            block = list(_block(template))
            if chance.randrange(100) < int(line[6:]):
                yield from _lines(iter(block), words, word, chance)
        else:
            following = words[(words.index(word) + 1) % len(words)]
            named = line.replace("@NEXTUP", following.upper()).replace("@0UP", words[0].upper())
            named = named.replace("@0", words[0]).replace("@UP", word.upper()).replace("@", word)
            yield _CHOICE.sub(lambda match: _chosen(match[1], chance), named)


def _block(template: Iterator[str]) -> Iterator[str]:
    depth = 1
    for line in template:
        depth += line.startswith(("for ", "maybe ")) - (line == "end")
        if not depth:
            return
        yield line


def _chosen(said: str, chance: random.Random) -> str:
    if said == "hex":
        return f"0x{chance.randrange(256):02x}"
    if said in ("unit", "word"):
        return chance.choice(UNITS if said == "unit" else WORDS)
    if match := _NUMBER.fullmatch(said):
        return str(chance.randrange(int(match[1]), int(match[2]) + 1))
    return chance.choice(said.split("|")) if "|" in said else f"<{said}>"

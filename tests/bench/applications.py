"""Applications of 6, 20 and 60 files for boards, and changes to them, always the same.

Each module is put together from parts that firmware is made of: drivers with registers, parsers of frames, topics of a
broker, filters, schedules, pages. Names, numbers and the choice of parts differ from file to file, so that files have
no more in common than those of one author have. No file is a copy of another, and no digest or table is repeated.
"""

import random
import re
from collections.abc import Callable, Mapping

from tests.bench.parts import KINDS, WORDS, part

Files = Mapping[str, str]  # path -> source
NUMBER = re.compile(r"(?<![\w.])[1-9](?=\d*\b)")  # the first digit of a number that is no 0x…


def tree(files: int) -> dict[str, str]:
    """Path -> source of the application with that many files, `main.py` among them."""
    chance = random.Random(f"application of {files}")
    names = chance.sample([f"{one}_{other}" for one in WORDS for other in WORDS[::7] if one != other], files - 1)
    made = {}
    for number, name in enumerate(names):
        folder = "" if files < 10 else ("drivers/", "logic/", "lib/", "")[number % 4]
        made[f"{folder}{name}.py"] = module(name, number % len(KINDS), f"{files} {name}")
    return {**made, "main.py": _main(made)}


def module(name: str, kind: int, seed: str) -> str:
    """The source of one module of two or three parts; another seed gives another author's module for the same thing."""
    chance = random.Random(seed)
    others = [each for each in range(len(KINDS)) if each != kind]
    kinds = [kind, *chance.sample(others, chance.choice((1, 2)))]
    return "\n".join(part(each, name, chance) for each in kinds)


def one_line(files: Files, path: str) -> Files:
    """A number in the middle of the file is another one. Raises: LookupError where no line has a number."""
    lines = files[path].split("\n")
    able = [at for at, line in enumerate(lines) if line.startswith("    ") and NUMBER.search(line)]
    at = able[len(able) // 2]
    lines[at] = NUMBER.sub(lambda found: str((int(found[0]) + 3) % 9 + 1), lines[at], count=1)
    return {**files, path: "\n".join(lines)}


def one_file(files: Files, path: str) -> Files:
    """The file gets another function and other limits: an afternoon's work."""
    return {**files, path: _worked_over(files[path], path)}


def another_file(files: Files, path: str) -> Files:
    """The file is written anew by another author: nothing of it is left."""
    name = path.rpartition("/")[2].removesuffix(".py")
    return {**files, path: module(name, (len(name) + 1) % len(KINDS), f"anew {path}")}


def all_files(files: Files, path: str) -> Files:
    """The same work on every file, whichever is named."""
    return {each: _worked_over(source, each) for each, source in files.items()}


CHANGES: dict[str, Callable[[Files, str], Files]] = {
    "one line": one_line,
    "one file": one_file,
    "one file anew": another_file,
    "all files": all_files,
}


def middle(files: Files) -> str:
    """The path of the file in the middle."""
    return sorted(files)[len(files) // 2]


def _worked_over(source: str, seed: str) -> str:
    chance = random.Random(f"work {seed}")
    lines = source.split("\n")
    numbers = [at for at, line in enumerate(lines) if re.search(r"( = \d+|const\(\d+\))$", line)]
    for at in chance.sample(numbers, min(2, len(numbers))):
        lines[at] = re.sub(r"\d+(?=\)?$)", str(chance.randrange(2, 900)), lines[at])
    word = chance.choice(WORDS)
    lines += [
        f"def check_{word}(value, limit={chance.randrange(10, 99)}):",
        f"    if value is None or value > limit * {chance.randrange(2, 9)}:",
        f"        print('{word} out of range', value)",
        "        return False",
        "    return True",
        "",
    ]
    return "\n".join(lines)


def _main(modules: dict[str, str]) -> str:
    lines = ["import sys", "", "import ota", "", "sys.path.extend(('drivers', 'logic'))", ""]
    lines += [f"import {path.rpartition('/')[2].removesuffix('.py')}" for path in sorted(modules)]
    return "\n".join([*lines, "", "print('modules', len(sys.modules))", "while True:", "    ota.sleep_ms(20)", ""])

# MicroPython: lives of a board in which everything happens at once. Run by the tests:
#   micropython lives.py FOLDER PROGRAM_BYTES ACT FIRST COUNT
# FOLDER holds a plan (prepared by powercut.py), lives.json: what happens in each life, one a line,
# and shelves.json: what a server has, by name. tests/integration/device/stories.py makes them.
# Each life begins with the chip that ACT left.
# Prints WRONG and why, and at the end how many lives there were.
import json
import sys

import judge
import ram
import stage


def live(board, base, story, shelves):
    """What is wrong with the life `story`, empty when it ended as it must."""
    board.chip[:] = base
    floors = []
    for number, step in enumerate(story["steps"]):
        board.second_room[:] = board.chip
        before = len(floors)
        step["paths"] = shelves[step["shelf"]]
        lived, wrong = board.live(step)
        floors.extend(lived.floors)
        wrong = wrong or judge.sane(board.plan, lived) or judge.risen(floors)
        if wrong:
            return "step %d, %s: %s" % (number, step["what"], wrong)
        if step["cut"] is not None and lived.flash.log:
            fraction, torn = step["cut"]
            cut = int(fraction * len(lived.flash.log))
            pictures = ram.Pictures(board.second_room, lived.flash.log, board.room)
            pictures.draw(cut, torn, board.chip)
            del floors[before + 1 :]  # what came after the cut did not happen
    return judge.judge(board.plan, story["end"], lived)


def main():
    board = stage.Stage(sys.argv[1], int(sys.argv[2]))
    shelves = json.loads(board.read("shelves.json"))
    with open(board.folder + "/lives.json") as f:
        stories = f.read().split("\n")
    first, count = int(sys.argv[4]), int(sys.argv[5])
    base = board.image(sys.argv[3] + ".end")
    for number in range(first, first + count):
        wrong = live(board, base, json.loads(stories[number]), shelves)
        if wrong:
            board.explain("life %d: %s" % (number, wrong))
    board.say("lives", count)


main()

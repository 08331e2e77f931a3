# MicroPython: power cuts at every program and erase of a board's life. Run by the tests:
#   micropython powercut.py FOLDER PROGRAM_BYTES prepare
#   micropython powercut.py FOLDER PROGRAM_BYTES cut SEED COUNT ACT...
# FOLDER holds plan.json and what it names (tests/integration/device/plan.py). `prepare` lives each
# act once and keeps the chip before and after; `cut` makes COUNT cuts in each act (0: all),
# of a long act a share of that.
# Prints WRONG and why for each outcome that must not be, and how many cuts each act had.
import random
import sys
import time

import judge
import ram
import stage

_WRONG = 5  # outcomes that must not be, and no more cuts are made
_TWICE = 8  # each so many cuts, a second one falls into what follows the first


def prepare(board):
    """Live each act without a cut, on the chip that the act before it left."""
    board.lay_out()
    board.keep(".end")
    for act in board.plan["acts"]:
        board.chip[:] = board.image(act["base"] + ".end")
        board.edit(act["edits"])
        board.keep(act["name"])
        lived, wrong = live(board, act)
        wrong = wrong or judge.asked(act, board.world)
        if wrong:
            board.explain("%s without a cut: %s" % (act["name"], wrong))
        board.keep(act["name"] + ".end")
        board.say("act", act["name"], len(lived.flash.log), "operations")


def live(board, act):
    """Live `act` from the chip as it is: (life, what is wrong)."""
    lived, wrong = board.live(act["world"])
    return lived, wrong or judge.judge(board.plan, act, lived)


def cut_act(board, act, count):
    """Cut the power in `act`; how many cuts that were."""
    base = board.image(act["name"])
    board.chip[:] = base
    log = live(board, act)[0].flash.log
    pictures = ram.Pictures(base, log, board.room)
    done = 0
    for cut, torn in chosen(len(log), count):
        if board.wrong > _WRONG:
            break
        pictures.draw(cut, torn, board.chip)
        lived, wrong = live(board, act)
        done += 1
        if wrong:
            board.explain("%s cut %d torn %s: %s" % (act["name"], cut, torn, wrong))
        elif done % _TWICE == 0 and lived.flash.log:
            done += 1
            pictures.draw(cut, torn, board.chip)
            cut_again(board, act, lived.flash.log, (cut, torn))
    return done


def cut_again(board, act, log, first):
    """Cut what followed another cut, whose chip is there and which did `log`."""
    cut, torn = random.randrange(len(log)), bool(random.getrandbits(1))
    ram.Pictures(board.chip, log, board.second_room).draw(cut, torn, board.chip)
    _, wrong = live(board, act)
    if wrong:
        where = "%d torn %s, then %d torn %s" % (first + (cut, torn))
        board.explain("%s cut %s: %s" % (act["name"], where, wrong))


def chosen(operations, count):
    """Which cuts to make, in rising order: (operation, torn)."""
    left = operations * 2
    wanted = min(count, left) if count else left
    for number in range(left):
        if random.random() * (left - number) < wanted:
            wanted -= 1
            yield number >> 1, bool(number & 1)


def main():
    board = stage.Stage(sys.argv[1], int(sys.argv[2]))
    if sys.argv[3] == "prepare":
        prepare(board)
        return
    random.seed(int(sys.argv[4]))
    count, names = int(sys.argv[5]), sys.argv[6:]
    for act in board.plan["acts"]:
        if act["name"] in names:
            start = time.ticks_ms()
            done = cut_act(board, act, count and max(1, int(count * act["share"])))
            board.say("cuts", act["name"], done, time.ticks_diff(time.ticks_ms(), start), "ms")


main()

# Hearing an order: a message from the desired topic, or the answer to a question by HTTP. Imported
# when one comes, and forgotten.
import gc
import hashlib

from ota import hal, notice, slots, state, trust
from ota.reason import RefusedError


def hear(agent, raw):
    """Judge the desired state in `raw`, b"" for one too large; an install is then pending."""
    mark = hashlib.sha256(raw).digest()
    if mark == agent.heard:
        return  # a repetition costs nothing
    agent.heard = mark
    try:
        _judge(agent, raw)
    except RefusedError as e:
        # Not kept in flash: whoever can reach the topic could wear it out.
        hal.log("desired state refused:", e.reason, e.detail)
        agent.voice.say(state.REFUSED, e.reason, e.detail)


def _judge(agent, raw):
    if not raw:
        raise RefusedError("too_large", "desired state")
    gc.collect()  # as in update.py: room for the signature's numbers
    desired = notice.parse(raw, trust.keys(agent.root, "director"))
    now = agent.clock.now() if agent.clock is not None else hal.now()
    verdict = notice.judge(desired, agent.device["id"], agent.state, now)
    if verdict == notice.INSTALL and not slots.atomic(agent.root):
        raise RefusedError("bad_filesystem", "on FAT a power cut breaks the board; use littlefs")
    if verdict == notice.NOTE:
        state.note(agent.state, desired)
        agent.save()
    elif verdict == notice.INSTALL and desired["seq"] != agent.skip:
        agent.pending = desired

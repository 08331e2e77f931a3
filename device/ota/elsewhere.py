# Reports by HTTP, while the broker is away. Imported for that, and forgotten.
from ota import app, poll


def tell(agent):
    """Errand: everything that is to say, last a greeting. Raises RefusedError."""
    try:
        while True:
            found = agent.voice.following(agent)
            if not found:
                return
            yield from poll.report(agent.device, agent.voice.compose(agent, found[1]))
            if agent.voice.heard(agent, found[0], False):
                agent.save()
    finally:
        app.forget("elsewhere", "poll", "http", "net")

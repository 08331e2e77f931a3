# Where a redirect may lead (docs/ota.md, "Fetch"). Imported when one comes.
from ota import net
from ota.reason import RefusedError


def follow(device, url, answer, body):
    """The address that `answer`, a redirect from `url`, leads to. Raises RefusedError."""
    location = answer.location
    if body is not None and answer.status < 307:
        raise RefusedError("download_failed", "a redirect that drops the body")
    tls, host, port, _ = net.split(url)
    if location[:1] == "/" and location[:2] != "//":
        location = "http%s://%s:%d%s" % ("s" if tls else "", host, port, location)
    there = net.split(location)
    listed = "%s:%d" % there[1:3] in device.get("redirects", ())
    if there[:3] != (tls, host, port) and (not listed or (tls and not there[0])):
        raise RefusedError("download_failed", "redirect to " + location[:80])
    return location

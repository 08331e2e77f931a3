"""What a thief of the release key can sign: releases of other files than their source makes."""

import hashlib
import pathlib
from typing import Any

from service.verify.keys import read_keys
from service.verify.opened import open_bundle
from tests.fakes.releases import make_release
from tests.fakes.signing import canonical
from tests.fakes.statements import StolenSigner, envelope, statement_in


def forge(thief: StolenSigner, folder: pathlib.Path, *, image: str = "") -> dict[str, bytes]:
    """Bundle and provenance in the place of those in `folder`: one module is another, perhaps by another image."""
    statement = statement_in((folder / "provenance.json").read_bytes())
    content = (folder / "bundle.kiln").read_bytes()
    good = open_bundle(content, read_keys((folder / "release.pem").read_bytes()))
    files, at = {}, len(content) - good.size_bytes
    for line in content[:at].split(b"\n", 2)[2].decode().splitlines():
        _, size, path = line.split(" ", 2)
        files[path] = content[at : at + int(size)]
        at += int(size)
    files["blink.mpy"] = files["blink.mpy"][:-1] + b"!"
    claims = {name: getattr(good, name) for name in ("repo", "name", "commit", "version", "board", "counter")}
    bundle = make_release(files, key=thief, mpy=6, **claims).bundle
    for subject in statement["subject"]:
        if subject["name"] == "unix/bundle.kiln":
            subject["digest"]["sha256"] = hashlib.sha256(bundle).hexdigest()
    if image:
        _name_image(statement, image)
    return {"bundle.kiln": bundle, "provenance.json": envelope(canonical(statement), thief)}


def with_image(thief: StolenSigner, folder: pathlib.Path, image: str) -> bytes:
    """The provenance in `folder`, of another build image."""
    statement = statement_in((folder / "provenance.json").read_bytes())
    _name_image(statement, image)
    return envelope(canonical(statement), thief)


def _name_image(statement: dict[str, Any], image: str) -> None:
    for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if each.get("name") == "build image":
            each["digest"]["sha256"] = image

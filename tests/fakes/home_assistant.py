"""What Home Assistant takes: its schemas, as tests/samples has them."""

import functools
import json
import pathlib
from typing import Any

import jsonschema

SAMPLES = pathlib.Path(__file__).parents[1] / "samples" / "home_assistant"


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SAMPLES / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(payload: bytes, kind: str) -> dict[str, Any]:
    """As Home Assistant takes it."""
    said = json.loads(payload)
    validator(kind).validate(said)
    assert len(payload) < 4096
    return dict(said)

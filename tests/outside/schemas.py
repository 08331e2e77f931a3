"""Payloads made up from GitHub's own description of its deliveries."""

import functools
import json
from typing import Any

from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from tests.outside.data import octokit

MAX_DEPTH = 5  # of references to references; what lies deeper may be anything
_SAYS_NOTHING = {"description", "title", "example", "examples", "format", "deprecated", "default", "readOnly"}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
# A string of these names is, one time in two, of the kind that a decoder goes on with.
_LIKELY: dict[str, dict[str, Any]] = {
    "after": _HEX,
    "before": _HEX,
    "head_sha": _HEX,
    "id": _HEX,
    "sha": _HEX,
    "ref": {"enum": ["refs/heads/main", "refs/tags/v1"]},
    "head_ref": {"enum": ["refs/heads/gh-readonly-queue/main/pr-1-a"]},
    "external_id": {"enum": ["17", "17/esp32"]},
}


@functools.cache
def _described(edition: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((octokit("openapi-webhooks") / "generated" / f"{edition}.json").read_bytes())
    return described


def webhooks(edition: str = "api.github.com") -> list[str]:
    """The names of all that GitHub sends: `push`, `pull-request-opened`."""
    return sorted(_described(edition)["webhooks"])


def event_of(name: str, edition: str = "api.github.com") -> str:
    """The event of a webhook, as `X-GitHub-Event` has it."""
    subcategory: str = _described(edition)["webhooks"][name]["post"]["x-github"]["subcategory"]
    return subcategory.replace("-", "_")


def payload_schema(name: str, path: str, edition: str = "api.github.com") -> dict[str, Any]:
    """A JSON Schema of one webhook's payload about the repository at `path`, without references."""
    described = _described(edition)
    body = described["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema: dict[str, Any] = _cut(body, described["components"]["schemas"], path, MAX_DEPTH)
    return schema


def payloads(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema that has no references.

    Objects and lists are put together here: hypothesis-jsonschema 0.23 makes no objects under the locked hypothesis.
    """
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf", [])[:1]
    kinds = schema.get("type", [])
    if isinstance(kinds, list) and len(kinds) > 1:
        choices = [{**schema, "type": kind} for kind in kinds]
    if choices:
        return st.one_of([payloads(each) for each in choices])
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    if kind == "array":
        return st.lists(payloads(schema.get("items", {})), max_size=3)
    if kind == "object" or (not kind and "properties" in schema):
        made = {key: payloads(each) for key, each in schema.get("properties", {}).items()}
        needed = {key: made.pop(key) for key in schema.get("required", []) if key in made}
        return st.fixed_dictionaries(needed, optional=made)
    return from_schema(schema) if schema else st.none() | st.integers() | st.text(max_size=8)


def _cut(schema: Any, known: dict[str, Any], path: str, depth: int) -> Any:
    if isinstance(schema, list):
        return [_cut(each, known, path, depth) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _cut(known[name], known, path, depth - 1) if depth else {}
    kept = {key: _cut(value, known, path, depth) for key, value in schema.items() if key not in _SAYS_NOTHING}
    if isinstance(kept.get("properties"), dict):
        # Addresses are most of a payload, and nobody follows one.
        named = {key: value for key, value in schema["properties"].items() if not key.endswith("url")}
        kept["properties"] = {key: _property(key, value, known, path, depth) for key, value in named.items()}
        kept["required"] = [key for key in schema.get("required", []) if key in named]
        kept["additionalProperties"] = False
    return kept


def _property(key: str, schema: Any, known: dict[str, Any], path: str, depth: int) -> Any:
    if key == "full_name":
        return {"const": path}
    cut = _cut(schema, known, path, depth)
    is_text = isinstance(cut, dict) and "string" in (cut.get("type"), *(cut.get("type") or ()))
    return {"anyOf": [_LIKELY[key], cut]} if is_text and key in _LIKELY else cut

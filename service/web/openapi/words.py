"""The words that the description of the API is put together from (OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.1)."""

import re
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
Operation = dict[str, Any]
Paths = dict[str, dict[str, Operation]]  # path -> method in small letters -> operation

LINE = "^[ -~]+$"  # a pattern: one line; other scripts are good as well, and not worth a longer pattern
MAX_NAME_CHARS = 200  # of what a path names: longer than any that exists
NUMBERS = frozenset({"build", "rollout", "version"})  # path parameters that are whole numbers
_PARAMETER = re.compile(r"{(\w+)}")


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def text(limit: int = 0, about: str = "", **more: Any) -> Schema:
    """Text of at most `limit` characters, where there is a limit."""
    return {
        "type": "string",
        **({"maxLength": limit} if limit else {}),
        **({"description": about} if about else {}),
        **more,
    }


def choice(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def number(minimum: int = 0, maximum: int | None = None, about: str = "") -> Schema:
    upper = {} if maximum is None else {"maximum": maximum}
    return {"type": "integer", "minimum": minimum, **upper, **({"description": about} if about else {})}


def flag(about: str = "") -> Schema:
    return {"type": "boolean", **({"description": about} if about else {})}


def moment() -> Schema:
    """RFC 3339, with its offset."""
    return {"type": "string", "format": "date-time"}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema | str) -> Schema:
    return {"type": "array", "items": ref(items) if isinstance(items, str) else items}


def page(items: str) -> Schema:
    """What long lists come in: `next` is what to ask for as `after`."""
    return record(items=array(items), next=nullable({"type": ["string", "integer"]}))


def record(**fields: Schema) -> Schema:
    """An object that has all of these; later versions may add more."""
    return {"type": "object", "properties": fields, "required": sorted(fields)}


def anything() -> Schema:
    return {"type": "object"}


def body(required: Mapping[str, Schema] | None = None, optional: Mapping[str, Schema] | None = None) -> Schema:
    """A JSON object with these fields and no others."""
    needed, free = dict(required or {}), dict(optional or {})
    schema: Schema = {"type": "object", "properties": {**needed, **free}, "additionalProperties": False}
    return {**schema, "required": sorted(needed)} if needed else schema


def operation(
    summary: str,
    answers: Mapping[int, Schema | str | None],
    *,
    query: Mapping[str, Schema] | None = None,
    needs: tuple[str, ...] = (),
    takes: Schema | None = None,
    right: str = "",
    media_type: str = "application/json",
    security: str = "token",
) -> Operation:
    """One route. `answers`: status -> what it answers; the name of a component, a schema, or None for no body.

    `needs` are the parameters of `query` that may not be left out, `right` is what docs/rights.md calls it, and
    `security` the scheme of who asks; empty for everybody.
    """
    made: Operation = {
        "summary": summary,
        "responses": {str(code): _answer(of, media_type) for code, of in answers.items()},
    }
    made["responses"] |= {
        "4XX": {"$ref": "#/components/responses/Refused"},
        "503": {"$ref": "#/components/responses/Later"},
    }
    if right:
        made["description"] = f"Needs the right `{right}`."
    if query:
        made["parameters"] = [
            {"name": name, "in": "query", "required": name in needs, "schema": schema} for name, schema in query.items()
        ]
    if takes is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": takes}}}
    # What is public may be viewed by everybody.
    made["security"] = [*([{}] if right == "view" else []), {security: []}] if security else []
    return made


def with_parameters(path: str, operations: dict[str, Operation]) -> dict[str, Any]:
    """An entry of `paths`: its operations, and what the path itself names."""
    named = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": number(1) if name in NUMBERS else text(MAX_NAME_CHARS, minLength=1),
        }
        for name in _PARAMETER.findall(path)
    ]
    return {**({"parameters": named} if named else {}), **operations}


def _answer(of: Schema | str | None, media_type: str) -> dict[str, Any]:
    if of is None:
        return {"description": "Done; there is nothing to say."}
    schema = ref(of) if isinstance(of, str) else of
    return {"description": "Done.", "content": {media_type: {"schema": schema}}}

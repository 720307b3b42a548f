"""The table of routes -> the OpenAPI 3.1 document."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from proxy.control.admin.bodies import schema
from proxy.control.admin.routes import Route

Json = dict[str, Any]

_STATUS_TEXT = {
    200: "Done.",
    201: "Done; durable and on its way to every worker.",
    404: "There is no such entry or route.",
    409: "Still blocked by something else, the idempotency key was used for another change, or no list yet.",
}
_ERROR_TEXT = {
    "400": "The target or the query cannot be read.",
    "401": "No token that we know.",
    "403": "The token lacks the scope.",
    "422": "The body is not as described, or policy refuses the change (`rule` names the setting).",
    "503": "The store did not answer; try again with the same idempotency key.",
}


def document(routes: Sequence[Route], version: str) -> Json:
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    models = {route.body for route in routes if route.body is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "sentra-proxy admin API", "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                **_schemas(models),
                "Error": {
                    "type": "object",
                    "required": ["error", "message"],
                    "properties": {
                        "error": {"type": "string"},
                        "message": {"type": "string"},
                        "rule": {"type": "string"},
                    },
                },
                "Answer": {
                    "type": "object",
                    "required": ["version", "committed"],
                    "properties": {
                        "version": {
                            "type": "object",
                            "properties": {"epoch": {"type": "integer"}, "sequence": {"type": "integer"}},
                        },
                        "committed": {"type": "boolean"},
                        "applied": {
                            "type": "object",
                            "properties": {"workers": {"type": "integer"}, "of": {"type": "integer"}},
                        },
                    },
                },
            },
        },
    }


def _schemas(models: Iterable[type[BaseModel]]) -> Json:
    """By name, with the models that they hold."""
    found: Json = {}
    for model in sorted(models, key=lambda item: item.__name__):
        described = schema(model)
        found |= described.pop("$defs", {})
        found[model.__name__] = described
    return found


def _operation(route: Route) -> Json:
    name = route.path.removeprefix("/v1/").replace("/", "_")
    operation: Json = {
        "operationId": f"{route.method.lower()}_{name}",
        "summary": route.summary,
        "description": f"Scope: `{route.scope}`.",
        "responses": {
            **{str(status): _response(_STATUS_TEXT[status], "Answer") for status in route.statuses},
            **{status: _response(text, "Error") for status, text in _ERROR_TEXT.items()},
        },
    }
    if route.query:
        operation["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": required,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, required, text in route.query
        ]
    if route.body is not None:
        reference = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return operation


def _response(text: str, name: str) -> Json:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }

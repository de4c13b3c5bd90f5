"""What Swagger shows, generated from the structs and guards that the routes use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from flask_restx import SchemaModel
from msgspec import Struct

from personalization.rest import answers, schemas
from personalization.rest.guards import Guard
from personalization.rest.query import Parameters

AUTHORIZATIONS = {
    "Bearer": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Bearer <token>`, the token from POST /management/tokens or of the configured identity provider",
    },
    "X-API-Key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key from POST /management/api-keys or `personalization keys create`",
    },
}
SECURITY: list[dict[str, list[str]]] = [{"Bearer": []}, {"X-API-Key": []}]

_HEADERS = {"X-Request-Id": {"description": "The caller's, or a fresh one", "type": "string"}}
_LIMITS = {
    "X-RateLimit-Limit": {"description": "Calls in a full allowance", "type": "integer"},
    "X-RateLimit-Remaining": {"description": "Calls left of it", "type": "integer"},
    "X-RateLimit-Reset": {"description": "Seconds until it is full again", "type": "integer"},
}
_RETRY = {"Retry-After": {"description": "Seconds", "type": "integer"}}
_CHALLENGE = {"WWW-Authenticate": {"description": "How to authenticate", "type": "string"}}
_EXTRA_HEADERS = {401: _CHALLENGE, 429: _RETRY, 503: _RETRY}
_BODY_REFUSALS = (400, 413, 415)

REQUEST_ID_PARAMETER = {
    "X-Request-Id": {"in": "header", "type": "string", "description": "1-128 safe characters; comes back with the answer"}
}
IDEMPOTENCY_PARAMETER = {
    "Idempotency-Key": {
        "in": "header",
        "type": "string",
        "minLength": 1,
        "maxLength": 256,
        "description": "1-256 printable characters. The same request again within 24 hours gets the same answer, another body 422",
    }
}
_REPLAYED = {"Idempotency-Replayed": {"description": "true when this answer was given before", "type": "string"}}


def _structs() -> list[type[Struct]]:
    """The outermost documents; those inside them follow."""
    return [
        kind
        for module in (schemas, answers)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Struct) and kind.__module__ == module.__name__ and kind is not schemas.Body
    ]


def components(template: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of every document, referring to each other by `template`."""
    found = msgspec.json.schema_components(_structs(), ref_template=template)[1]
    return {name: {**schema, **_RULES.get(name, {})} for name, schema in found.items()}


def _exactly_one(**kinds: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [name], "properties": {name: {"type": kind}}} for name, kind in kinds.items()]}


#: What the structs check across fields and JSON Schema can say.
_RULES = {
    "Personalize": _exactly_one(template_id="string", content="object", variants="array"),
    "Revocation": _exactly_one(token="string", jti="string"),
}


def swagger_schema(schema: Any) -> Any:
    """A JSON Schema as Swagger 2.0 can say it: null becomes x-nullable, other alternatives become anything."""
    if isinstance(schema, list):
        return [swagger_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: swagger_schema(value) for key, value in schema.items() if _known_to_swagger(key, value)}
    if plain.get("type") == "array":
        plain.setdefault("items", {})
    if examples := schema.get("examples"):
        plain["example"] = examples[0]
    return {**plain, **_alternatives(schema["anyOf"])} if "anyOf" in schema else plain


def _known_to_swagger(key: str, value: Any) -> bool:
    """It has no null, and no empty list of what is required."""
    return key not in _UNKNOWN_TO_SWAGGER and not (key == "default" and value is None) and not (key == "required" and value == [])


_UNKNOWN_TO_SWAGGER = frozenset({"anyOf", "oneOf", "examples", "propertyNames", "const"})


def _alternatives(choices: list[Any]) -> dict[str, Any]:
    real = [choice for choice in choices if choice != {"type": "null"}]
    nullable = {"x-nullable": True} if len(real) < len(choices) else {}
    if len(real) != 1:
        return nullable
    only = swagger_schema(real[0])
    return {"allOf": [only], **nullable} if "$ref" in only else {**only, **nullable}


def swagger_models() -> dict[str, SchemaModel]:
    return {name: SchemaModel(name, swagger_schema(schema)) for name, schema in components("#/definitions/{name}").items()}


MODELS = swagger_models()


def described(
    answer: type[Struct] | None,
    *,
    status: int = 200,
    body: type[Struct] | None = None,
    refusals: tuple[int, ...] = (),
    repeatable: bool = False,
    optional: bool = False,
    also: Mapping[int, type[Struct]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Describe a handler; stands above its guard, whose permissions, parameters and refusals it adds, and above `once`.

    repeatable : takes an Idempotency-Key without `once`
    optional   : the body may be left out
    """

    def describing(handler: Callable[..., Any]) -> Callable[..., Any]:
        wanted: Guard | None = getattr(handler, "__guard__", None)
        once = getattr(handler, "__once__", False)
        repeats = repeatable or once
        codes = [*refusals, *(_BODY_REFUSALS if body else ()), *_refusals_of(wanted), *((409,) if once else ())]
        responses = {code: _response(code, kind, repeats) for code, kind in {status: answer, **(also or {})}.items()}
        refused = sorted(set(codes) - responses.keys())
        responses |= {code: _response(code, answers.Problem, repeats) for code in refused}
        handler.__apidoc__ = {  # type: ignore[attr-defined]
            "responses": {str(code): response for code, response in responses.items()},
            "params": {
                **REQUEST_ID_PARAMETER,
                **(IDEMPOTENCY_PARAMETER if repeats else {}),
                **_query(wanted.parameters if wanted else {}),
                **({"payload": {"required": False}} if optional else {}),
            },
            "expect": [MODELS[body.__name__]] if body else [],
            "security": _security(wanted),
            "vendor": {"x-permissions": sorted(wanted.any_of)} if wanted else {},
        }
        return handler

    return describing


def _refusals_of(wanted: Guard | None) -> tuple[int, ...]:
    if wanted is None:
        return ()
    return (401, *((403,) if wanted.any_of else ()), 422, 429, 503)


def _response(code: int, kind: type[Struct] | None, repeats: bool = False) -> tuple[str, SchemaModel | None, dict[str, Any]]:
    model = MODELS[kind.__name__] if kind else None
    headers = {**_HEADERS, **_LIMITS, **_EXTRA_HEADERS.get(code, {}), **(_REPLAYED if repeats and code < 429 else {})}
    if repeats and code == 409:
        headers |= _RETRY
    return HTTPStatus(code).phrase, model, {"headers": headers}


def _query(parameters: Parameters) -> dict[str, Any]:
    documents: dict[str, Any] = {}
    for name, each in parameters.items():
        documents[name] = {"in": "query", "type": each.type, "description": each.description, **each.limits}
        if each.default is not None:
            documents[name]["default"] = each.default
    return documents


def _security(wanted: Guard | None) -> list[Any]:
    if wanted is None:
        return []
    return [{"X-API-Key": []}] if wanted.key_only else SECURITY


_ID = {"minLength": 1, "maxLength": 256, "description": "1-256 printable characters, percent-encoded"}


def completed(swagger: dict[str, Any]) -> dict[str, Any]:
    """RESTX's document with what it does not know: what an id in a path may be, and in which media errors come."""
    for item in swagger["paths"].values():
        for parameter in item.get("parameters", ()):
            parameter.update(_ID)
        for method, operation in item.items():
            if method != "parameters":
                operation["produces"] = ["application/json", "application/problem+json"]
    return swagger


def openapi(swagger: Mapping[str, Any]) -> dict[str, Any]:
    """The same routes as OpenAPI 3.1, with the schemas as JSON Schema says them, and links from an answer to what its ids
    open."""
    schemas = components("#/components/schemas/{name}")
    paths = {path: _path_item(item) for path, item in swagger["paths"].items()}
    _link(paths, schemas)
    return {
        "openapi": "3.1.0",
        "info": swagger["info"],
        "servers": [{"url": swagger["basePath"]}],
        "tags": swagger["tags"],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": SECURITY,
    }


def _path_item(item: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {"parameters": [_parameter(p) for p in item["parameters"]]} if "parameters" in item else {}
    return parameters | {method: _operation(value) for method, value in item.items() if method != "parameters"}


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    given = operation.get("parameters", [])
    moved = {
        "parameters": [_parameter(p) for p in given if p["in"] != "body"],
        "responses": {code: _answer(response) for code, response in operation["responses"].items()},
    }
    for body in (p for p in given if p["in"] == "body"):
        content = {"application/json": {"schema": _referring(body["schema"])}}
        moved["requestBody"] = {"required": body["required"], "content": content}
    kept = {key: value for key, value in operation.items() if key not in ("consumes", "produces")}
    return kept | moved


def _link(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    """Where what is made or changed answers with an id, the operations with that id in their path follow from it."""
    opened_by: dict[str, list[str]] = {}
    for item in paths.values():
        for parameter in item.get("parameters", ()):
            opened_by.setdefault(parameter["name"], []).extend(o["operationId"] for m, o in item.items() if m != "parameters")
    for item in paths.values():
        for method in item.keys() & {"post", "put", "patch"}:
            for code, response in item[method]["responses"].items():
                if code < "300" and (links := _links(response, schemas, opened_by)):
                    response["links"] = links


def _links(response: Mapping[str, Any], schemas: Mapping[str, Any], opened_by: Mapping[str, list[str]]) -> dict[str, Any]:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    answered = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
    return {
        operation: {"operationId": operation, "parameters": {name: f"$response.body#/{name}"}}
        for name in answered.keys() & opened_by.keys()
        for operation in sorted(opened_by[name])
    }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: parameter[key] for key in _OF_PARAMETERS if key in parameter}
    return {**kept, "schema": {key: value for key, value in parameter.items() if key not in _OF_PARAMETERS}}


_OF_PARAMETERS = ("name", "in", "description", "required")


def _answer(response: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": response["description"]}
    if "headers" in response:
        answer["headers"] = {
            name: {"description": header["description"], "schema": {"type": header["type"]}}
            for name, header in response["headers"].items()
        }
    if "schema" in response:
        media = "application/problem+json" if response["schema"].get("$ref", "").endswith("/Problem") else "application/json"
        answer["content"] = {media: {"schema": _referring(response["schema"])}}
    return answer


def _referring(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"$ref": schema["$ref"].replace("#/definitions/", "#/components/schemas/")} if "$ref" in schema else dict(schema)

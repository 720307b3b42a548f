"""The document is what the server does: both are made from one table, and this holds them together."""

import re

from proxy.control.admin.bodies import BlockBody
from proxy.control.admin.openapi import document
from proxy.control.admin.routes import ROUTES
from tests.control.conftest import Pod


def described() -> dict:
    return document(ROUTES, "1.2.3")


def test_document_names_every_call_once():
    calls = [(method.upper(), path) for path, item in described()["paths"].items() for method in item]
    assert sorted(calls) == sorted((route.method, route.path) for route in ROUTES)
    operations = [item[method]["operationId"] for item in described()["paths"].values() for method in item]
    assert len(set(operations)) == len(operations)


def test_every_reference_leads_somewhere():
    names = set(re.findall(r"#/components/schemas/(\w+)", str(described())))
    assert names <= set(described()["components"]["schemas"])
    assert {"BlockBody", "AllowBody", "LookupBody", "Error", "Answer"} <= names


def test_body_is_described_with_its_limits():
    shape = described()["components"]["schemas"]["BlockBody"]
    assert shape["additionalProperties"] is False
    assert shape["required"] == ["target"]
    assert shape["properties"]["score"]["maximum"] == 10
    assert set(shape["properties"]) == set(BlockBody.model_fields)


async def test_document_is_served_without_a_token(running_pod: Pod):
    """A generator of clients has none."""
    status, answer = await running_pod.call("GET", "/v1/openapi.json")
    assert (status, answer["openapi"]) == (200, "3.1.0")


async def test_every_described_call_is_there(running_pod: Pod):
    """No path of the document is a dead end."""
    for path, item in described()["paths"].items():
        for method in item:
            status, answer = await running_pod.call(method.upper(), path)
            assert answer["error"] not in ("not_found", "method_not_allowed") if status != 200 else True

"""The way of a request through the mesh: every route of the url map, its time, its repetitions, and who is put out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound

from personalization.bootstrap import create_app, memory_house
from tests.house.manifests import Dockerfile, Manifest, compose, container, one, seconds

ROUTES = one("VirtualService")["spec"]["http"]
#: What may be done twice though it is no read: the key or the event_id makes it once, a PUT replaces.
REPEATABLE = {
    ("POST", "/api/v1/personalization/personalize"),
    ("POST", "/api/v1/personalization/events"),
    ("PUT", "/api/v1/personalization/profiles/x"),
}


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    house = memory_house()
    yield create_app(house=house)
    house.close()


def test_probes_ask_routes_there_are(app: Flask) -> None:
    deployment, routes = container(one("Deployment")), app.url_map.bind("service")
    paths = {name: deployment[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths["readinessProbe"] == "/api/v1/management/ready"
    assert paths["livenessProbe"] == paths["startupProbe"] == "/api/v1/management/live"
    assert {deployment[name]["httpGet"]["port"] for name in paths} == {deployment["ports"][0]["name"]}
    (health,) = Dockerfile().all("HEALTHCHECK")
    assert paths["readinessProbe"] in health
    assert paths["readinessProbe"] in " ".join(compose()["services"]["app"]["healthcheck"]["test"])
    for path in {*paths.values(), one("Deployment")["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]}:
        routes.match(path, method="GET")
    with pytest.raises(NotFound):
        routes.match("/api/v1/management/alive", method="GET")


def test_hosts_gateways_and_ports_of_the_mesh_resolve() -> None:
    virtual, gateway, service = one("VirtualService")["spec"], one("Gateway"), one("Service")
    inside = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    outside = {host for server in gateway["spec"]["servers"] for host in server["hosts"]}
    assert set(virtual["hosts"]) == outside | {inside}
    assert set(virtual["gateways"]) == {gateway["metadata"]["name"], "mesh"}
    for route in virtual["http"]:
        (only,) = route["route"]
        assert only["destination"]["host"] == one("DestinationRule")["spec"]["host"] == inside
        assert only["destination"]["port"]["number"] in {port["port"] for port in service["spec"]["ports"]}


def routed(method: str, path: str, headers: dict[str, str]) -> Manifest | None:
    """The route of the VirtualService that a request takes, None where it takes none."""
    for route in ROUTES:
        if any(matches(condition, method, path, headers) for condition in route["match"]):
            return dict(route)
    return None


def matches(condition: Manifest, method: str, path: str, headers: dict[str, str]) -> bool:
    named = [is_like(text, headers.get(name, "")) for name, text in condition.get("headers", {}).items()]
    return is_like(condition["uri"], path) and is_like(condition.get("method", {"prefix": ""}), method) and all(named)


def is_like(wanted: dict[str, str], text: str) -> bool:
    (kind, value), *_ = wanted.items()
    tests = {"exact": text == value, "prefix": text.startswith(value), "regex": re.fullmatch(value, text) is not None}
    return tests[kind]


def every_request(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"<[^>]*>", "x", rule.rule)


def test_every_route_but_the_metrics_is_reached_within_a_time(app: Flask) -> None:
    found = {(method, path): routed(method, path, {}) for method, path in every_request(app)}
    unreached = {path for (_, path), route in found.items() if route is None}
    assert unreached <= {"/metrics", "/", "/api/v1", "/static/x"}
    assert "/metrics" in unreached
    assert any(path.startswith("/swaggerui/") for _, path in found)
    assert all(seconds(route["timeout"]) <= 60 for route in found.values() if route)


def test_only_what_may_be_done_twice_is_tried_again(app: Flask) -> None:
    for method, path in every_request(app):
        for headers in ({}, {"idempotency-key": "k"}):
            attempts = (routed(method, path, headers) or {"retries": {"attempts": 0}})["retries"]["attempts"]
            safe = method == "GET" or ((method, path) in REPEATABLE and (bool(headers) or "personalize" not in path))
            assert attempts == 0 or safe, (method, path, headers)
    assert routed("GET", "/api/v1/personalization/profiles/x", {})["retries"]["attempts"] > 0  # type: ignore[index]
    assert routed("POST", "/api/v1/personalization/personalize", {})["retries"]["attempts"] == 0  # type: ignore[index]


def test_no_answer_whatever_puts_a_pod_out() -> None:
    """Bad input, overload, a missing dependency: answers are never taken for failures, connections that fail are."""
    detection = one("DestinationRule")["spec"]["trafficPolicy"]["outlierDetection"]
    assert detection["splitExternalLocalOriginErrors"] is True
    assert (detection["consecutive5xxErrors"], detection["consecutiveGatewayErrors"]) == (0, 0)
    assert detection["consecutiveLocalOriginFailures"] > 0
    assert detection["maxEjectionPercent"] < 50


def test_the_mesh_speaks_mutual_tls_only_and_asks_for_tokens_of_our_audience() -> None:
    assert one("PeerAuthentication")["spec"]["mtls"] == {"mode": "STRICT"}
    assert one("DestinationRule")["spec"]["trafficPolicy"]["tls"] == {"mode": "ISTIO_MUTUAL"}
    (rule,) = one("RequestAuthentication")["spec"]["jwtRules"]
    assert rule["audiences"] == ["personalization"]
    assert rule["forwardOriginalToken"] is True

"""deploy/: valid by the schemas of Kubernetes, Istio, Compose and Envoy, and true to what the service is."""

from __future__ import annotations

import importlib
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from personalization import cli
from personalization.errors import MisconfiguredError
from personalization.rest.strict import BULK
from personalization.settings import PLACEHOLDER, settings_from
from personalization.version import VERSION
from tests.faults.proxy import envoy_binary
from tests.house.manifests import (
    DEPLOY,
    ROOT,
    Dockerfile,
    Manifest,
    compose,
    container,
    documents,
    example_environment,
    manifests,
    one,
    pod,
    seconds,
)

SERVICE, MIGRATION = "personalization-service", "personalization-migrate"
#: Read by gunicorn, not by the service.
NOT_OURS = {"WEB_CONCURRENCY"}


# -- schemas


def is_istio(manifest: Manifest) -> bool:
    return ".istio.io/" in manifest["apiVersion"]


def titled(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize("manifest", [m for m in manifests("kubernetes", "istio") if not is_istio(m)], ids=titled)
def test_kubernetes_kinds_are_valid_and_have_no_unknown_field(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize("manifest", [m for m in manifests("istio") if is_istio(m)], ids=titled)
def test_istio_kinds_are_valid_and_have_no_unknown_field(manifest: Manifest) -> None:
    group, version = manifest["apiVersion"].split("/")
    kind = getattr(importlib.import_module(f"cloudcoil.models.istio.{group.split('.')[0]}.{version}"), manifest["kind"])
    understood = kind.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert list(lost(manifest, understood)) == []


def lost(written: Any, understood: Any, path: str = "") -> Iterator[str]:
    """Fields that are written but nothing the schema knows."""
    if isinstance(written, dict):
        for name, value in written.items():
            if name not in understood:
                yield f"{path}.{name}"
            else:
                yield from lost(value, understood[name], f"{path}.{name}")
    elif isinstance(written, list):
        for i, (value, other) in enumerate(zip(written, understood, strict=True)):
            yield from lost(value, other, f"{path}[{i}]")


def test_the_istio_check_knows_an_unknown_field() -> None:
    manifest = one("PeerAuthentication")
    manifest["spec"]["mtls"]["modus"] = "STRICT"
    with pytest.raises(AssertionError, match=r"mtls\.modus"):
        test_istio_kinds_are_valid_and_have_no_unknown_field(manifest)


def test_the_compose_file_is_valid() -> None:
    assert len(PyCompose.from_yaml(yaml.safe_dump(compose())).to_dict()["services"]) == 5


def test_envoy_takes_the_proxys_and_the_sidecars_configuration(tmp_path: Path) -> None:
    envoy, proxy = envoy_binary(), DEPLOY / "envoy" / "envoy.yaml"
    merged = yaml.safe_load(proxy.read_text())
    manager = merged["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    buffer = manager["typed_config"]["http_filters"][0]
    into_chain, into_manager = (patch["patch"]["value"] for patch in one("EnvoyFilter")["spec"]["configPatches"])
    manager["typed_config"].update(into_manager["typed_config"])
    manager["typed_config"]["http_filters"][0] = into_chain
    sidecar = tmp_path / "sidecar.yaml"
    sidecar.write_text(yaml.safe_dump(merged))
    for file in (proxy, sidecar):
        options = ["--mode", "validate", "--disable-hot-restart", "--config-path", str(file)]
        checked = subprocess.run([envoy, *options], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
    assert into_chain == buffer
    assert into_chain["typed_config"]["max_request_bytes"] == BULK


@pytest.mark.parametrize("folder", ["kubernetes", "istio"])
def test_every_file_is_applied_or_says_that_it_is_not(folder: str) -> None:
    (kustomization,) = documents(DEPLOY / folder / "kustomization.yaml")
    resources = set(kustomization["resources"])
    files = {file.name for file in (DEPLOY / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in resources if name.endswith(".yaml")} <= files
    assert files - resources == {"kubernetes": {"secret.example.yaml"}, "istio": {"request-authentication.yaml"}}[folder]
    for patch in kustomization.get("patches", ()):
        target = one(patch["target"]["kind"], patch["target"]["name"])
        for operation in yaml.safe_load(patch["patch"]):
            for part in operation["path"].split("/")[1:-1]:
                target = target[part]


# -- what belongs together


def workloads() -> list[Manifest]:
    return [one("Deployment"), one("Job")]


def labels(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["spec"]["template"]["metadata"]["labels"])


def test_gunicorn_container_service_image_and_proxies_speak_of_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in one("ConfigMap")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://x/y")
    bound = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["bind"]
    (port,) = container(one("Deployment"))["ports"]
    (offered,) = one("Service")["spec"]["ports"]
    (endpoints,) = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())["static_resources"]["clusters"]
    address = endpoints["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert bound == f"0.0.0.0:{port['containerPort']}"
    assert offered["targetPort"] == port["name"]
    assert Dockerfile().last("EXPOSE") == Dockerfile().environment()["PORT"] == str(port["containerPort"])
    assert address == {"address": "app", "port_value": port["containerPort"]}
    assert compose()["services"]["app"]["expose"] == [str(port["containerPort"])]
    annotations = one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])
    patches = one("EnvoyFilter")["spec"]["configPatches"]
    assert {patch["match"]["listener"]["portNumber"] for patch in patches} == {port["containerPort"]}
    (rule,) = one("NetworkPolicy", SERVICE)["spec"]["ingress"]
    assert [allowed["port"] for allowed in rule["ports"]] == [port["name"]]


def test_every_selector_finds_the_pods_it_means() -> None:
    deployment = one("Deployment")
    assert deployment["metadata"]["name"] == one("Service")["metadata"]["name"] == SERVICE
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy", SERVICE)["spec"]["podSelector"]["matchLabels"],
        one("NetworkPolicy", "personalization-mesh")["spec"]["podSelector"]["matchLabels"],
        one("PeerAuthentication")["spec"]["selector"]["matchLabels"],
        one("RequestAuthentication")["spec"]["selector"]["matchLabels"],
        one("AuthorizationPolicy")["spec"]["selector"]["matchLabels"],
        one("EnvoyFilter")["spec"]["workloadSelector"]["labels"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod(deployment)["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels(deployment).items()
        assert not selector.items() <= labels(one("Job")).items()
    (expression,) = one("NetworkPolicy", "personalization-egress")["spec"]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == {labels(workload)[expression["key"]] for workload in workloads()}
    scaled = one("HorizontalPodAutoscaler")["spec"]
    assert scaled["scaleTargetRef"]["name"] == SERVICE
    assert scaled["minReplicas"] >= 3
    assert "replicas" not in deployment["spec"]


def test_everything_lies_in_the_one_namespace() -> None:
    namespace = one("Namespace")["metadata"]["name"]
    found = [m for m in manifests("kubernetes", "istio") if m["kind"] != "Namespace"]
    assert {m["metadata"]["namespace"] for m in found} == {namespace}


def test_the_image_has_the_version_of_this_code_everywhere() -> None:
    image = f"apg/personalization:{VERSION}"
    assert {container(workload)["image"] for workload in workloads()} == {image}
    assert example_environment()["IMAGE"] == image
    (kustomization,) = documents(DEPLOY / "kubernetes" / "kustomization.yaml")
    assert kustomization["images"] == [{"name": "apg/personalization", "newTag": VERSION}]


class Asked(dict[str, str]):
    """An environment that remembers which names were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def test_every_variable_set_is_one_the_service_reads() -> None:
    asked = Asked()
    settings_from(asked)
    known = asked.names | NOT_OURS
    for workload in workloads():
        assert {variable["name"] for variable in container(workload)["env"]} <= known
    assert set(one("ConfigMap")["data"]) <= known
    services = compose()["services"]
    assert set(services["app"]["environment"]) <= known
    assert set(services["migrate"]["environment"]) <= known
    assert Dockerfile().environment().keys() & asked.names == {"STATE_DIR", "PORT"}


def test_every_reference_to_a_configuration_or_secret_holds() -> None:
    secrets = {m["metadata"]["name"]: set(m["stringData"]) for m in documents(DEPLOY / "kubernetes" / "secret.example.yaml")}
    for workload in workloads():
        assert container(workload)["envFrom"] == [{"configMapRef": {"name": one("ConfigMap")["metadata"]["name"]}}]
        for variable in container(workload)["env"]:
            wanted = variable["valueFrom"]["secretKeyRef"]
            assert wanted["key"] in secrets[wanted["name"]]
        assert pod(workload)["serviceAccountName"] == one("ServiceAccount")["metadata"]["name"]
        assert pod(workload)["automountServiceAccountToken"] is False
    assert one("ServiceAccount")["automountServiceAccountToken"] is False


# -- secrets


def example_secrets() -> list[dict[str, str]]:
    """What a process would be given if nobody changed the examples."""
    told = {m["metadata"]["name"]: m["stringData"] for m in documents(DEPLOY / "kubernetes" / "secret.example.yaml")}
    references = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in container(one("Deployment"))["env"]}
    kubernetes = {name: told[reference["name"]][reference["key"]] for name, reference in references.items()}
    return [kubernetes, compose()["services"]["app"]["environment"]]


@pytest.mark.parametrize("environment", example_secrets(), ids=["kubernetes", "compose"])
def test_production_refuses_every_one_of_the_examples_secrets(environment: dict[str, str]) -> None:
    good = {
        "JWT_SECRET_KEY": "s" * 32,
        "ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
        "DATABASE_URL": "postgresql://u:good@h/d",
        "REDIS_URL": "redis://:good@h",
    }
    assert settings_from(good).weaknesses() == []
    for name in good:
        assert PLACEHOLDER in environment[name]
        try:
            weak = settings_from({**good, name: environment[name]}).weaknesses()
        except MisconfiguredError as refused:
            weak = [str(refused)]
        assert any(sentence.startswith(name) for sentence in weak), name


# -- pods


def test_pods_run_as_the_images_user_with_nothing_they_do_not_need() -> None:
    user, group = map(int, Dockerfile().last("USER").split(":"))
    for workload in workloads():
        of_pod, of_container = pod(workload)["securityContext"], container(workload)["securityContext"]
        assert (of_pod["runAsNonRoot"], of_pod["runAsUser"], of_pod["runAsGroup"]) == (True, user, group)
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert of_container["readOnlyRootFilesystem"] is True
        assert of_container["allowPrivilegeEscalation"] is False
        assert of_container["capabilities"] == {"drop": ["ALL"]}
        resources = container(workload)["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() >= {"cpu", "memory"}
    for name in ("app", "migrate"):
        service = compose()["services"][name]
        assert service["user"] == f"{user}:{group}"
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_what_the_service_writes_to_can_be_written() -> None:
    state = one("ConfigMap")["data"]["STATE_DIR"]
    assert state == Dockerfile().environment()["STATE_DIR"]
    for workload in workloads():
        mounted = {mount["mountPath"]: mount["name"] for mount in container(workload)["volumeMounts"]}
        assert mounted.keys() == {state, "/tmp"}
        assert set(mounted.values()) == {volume["name"] for volume in pod(workload)["volumes"] if "emptyDir" in volume}
    app = compose()["services"]["app"]
    assert (app["volumes"], app["tmpfs"]) == ([f"state:{state}"], ["/tmp"])


def test_a_pod_that_leaves_has_time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x/y")
    gunicorn = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    pause = container(one("Deployment"))["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    assert pod(one("Deployment"))["terminationGracePeriodSeconds"] >= pause + gunicorn["graceful_timeout"] + 5
    assert seconds(compose()["services"]["app"]["stop_grace_period"]) >= gunicorn["graceful_timeout"] + 5
    (cluster,) = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())["static_resources"]["clusters"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    pool = one("DestinationRule")["spec"]["trafficPolicy"]["connectionPool"]
    idle = [options["common_http_protocol_options"]["idle_timeout"], pool["http"]["idleTimeout"], pool["tcp"]["idleTimeout"]]
    assert all(seconds(time) < gunicorn["keepalive"] for time in idle)


def test_the_migration_runs_a_command_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = container(one("Job"))["command"]
    assert [program, *words] == compose()["services"]["migrate"]["command"]
    with pytest.raises(SystemExit, match="0"):
        cli.main([*words, "--help"])
    assert "schema" in capsys.readouterr().out
    assert compose()["services"]["app"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

"""The Kubernetes manifests: kubectl and Kubernetes' schemas accept them, and they match the code."""

import http.client
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from devstack.commands import API, MIGRATE, WORKER, local
from devstack.project import PROJECT
from service.config import requires_tokens
from tests.deploy.limits import MEMORY_FOR_API, MEMORY_FOR_GATEWAYS, MIB, seconds_to_stop
from tests.support.api_server import ApiServer

LIMIT_S = 60
MANIFESTS = PROJECT / "deploy" / "kubernetes"
EXAMPLE = MANIFESTS / "overlays" / "example"
# The oldest version that the base names, and the newest of the schemas.
VERSIONS = ("1.30", "1.37")
SECRETS = "/run/secrets/millgate"
LOCAL_KUBECTL = local(("kubectl",))[0]
# The wheel with kubectl has none for macOS.
KUBECTL = LOCAL_KUBECTL if Path(LOCAL_KUBECTL).exists() else shutil.which("kubectl")
pytestmark = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl is missing: install it to check the manifests"
)


def run(*command: str) -> tuple[int, str]:
    """Return exit code and output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout + done.stderr


def validate(path: Path, version: str) -> tuple[int, str]:
    return run(*local(("kubernetes-validate", "--quiet", "--strict", "-k", version)), str(path))


def render(overlay: Path) -> str:
    assert KUBECTL
    code, output = run(KUBECTL, "kustomize", str(overlay))
    assert code == 0, output
    return output


@pytest.fixture(scope="module")
def rendered() -> str:
    return render(EXAMPLE)


@pytest.fixture(scope="module")
def documents(rendered: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(rendered))


@pytest.fixture(scope="module")
def by_name(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


@pytest.fixture(scope="module")
def pods(by_name: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    names = ("Deployment/api", "Deployment/worker", "Job/migrate")
    return {name.split("/")[1]: by_name[name]["spec"]["template"]["spec"] for name in names}


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}


def settings(documents: list[dict[str, Any]]) -> dict[str, str]:
    """Return the overlay's settings."""
    [data] = [document["data"] for document in documents if document["kind"] == "ConfigMap"]
    return dict(data)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_rendered_example(version: str, rendered: str, tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered)
    assert validate(path, version) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("replicas: 2", "replica: 2"), ("cpu: 500m", "cpu: [500m]"), ("maxSurge: 1", "maxSurges: 1")],
)
def test_a_mistake_is_detected(right: str, wrong: str, rendered: str, tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    assert right in rendered
    path.write_text(rendered.replace(right, wrong))
    code, output = validate(path, VERSIONS[-1])
    assert code != 0, output


def test_a_missing_file_is_detected(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "example"
    path = overlay / "kustomization.yaml"
    path.write_text(path.read_text().replace("ingress.yaml", "no-such-file.yaml"))
    assert KUBECTL
    code, output = run(KUBECTL, "kustomize", str(overlay))
    assert code != 0, output


def test_each_part_runs_the_command_that_make_run_runs(pods: dict[str, dict[str, Any]]) -> None:
    containers = {name: pod["containers"][0] for name, pod in pods.items()}
    assert tuple(containers["api"]["args"]) == API
    assert tuple(containers["worker"]["args"]) == WORKER
    migrate = containers["migrate"]
    assert (migrate["command"][-1], *migrate["args"]) == MIGRATE
    compose = YAML(typ="safe").load(PROJECT / "docker-compose.yml")["services"]
    assert migrate["image"] == compose["migrate"]["image"]
    assert (
        containers["worker"]["readinessProbe"]["exec"]["command"]
        == compose["worker"]["healthcheck"]["test"][1:]
    )


def test_every_image_has_a_version(pods: dict[str, dict[str, Any]]) -> None:
    for pod in pods.values():
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            name, _, tag = container["image"].rpartition(":")
            assert name
            assert tag not in {"", "latest"}


def test_every_pod_is_confined(pods: dict[str, dict[str, Any]], by_name: dict[str, dict[str, Any]]) -> None:
    for pod in pods.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # Image and manifests have the same user.
        assert pod["securityContext"]["runAsUser"] == 10001
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "cpu" not in container["resources"]["limits"]
    assert "\nUSER 10001:10001\n" in (PROJECT / "Dockerfile").read_text()
    labels = by_name["Namespace/millgate"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_secrets_are_passed_as_files_only(rendered: str, pods: dict[str, dict[str, Any]]) -> None:
    assert "kind: Secret\n" not in rendered
    assert "secretKeyRef" not in rendered
    names = ("DATABASE_URL", "ENCRYPTION_KEY", "ENCRYPTION_KEYS_OLD")
    for part in ("api", "worker"):
        seen = environment(pods[part])
        assert {name for name in seen if name.endswith("_FILE")} == {f"{name}_FILE" for name in names}
        assert {seen[f"{name}_FILE"] for name in names} == {f"{SECRETS}/{name.lower()}" for name in names}
        assert not set(seen) & set(names)


def test_each_part_has_enough_time_to_stop(
    pods: dict[str, dict[str, Any]], by_name: dict[str, dict[str, Any]]
) -> None:
    wait_s = pods["api"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pods["api"]["terminationGracePeriodSeconds"] == wait_s + seconds_to_stop("api")
    assert pods["worker"]["terminationGracePeriodSeconds"] == seconds_to_stop("worker")
    # Each is stopped after the previous one has ended.
    worker = by_name["Deployment/worker"]["spec"]
    assert worker["minReadySeconds"] + 10 == pods["worker"]["terminationGracePeriodSeconds"]
    assert worker["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_memory_is_enough(pods: dict[str, dict[str, Any]]) -> None:
    for part, needed in (("api", MEMORY_FOR_API), ("worker", MEMORY_FOR_GATEWAYS)):
        resources = pods[part]["containers"][0]["resources"]
        # The worker claims gateways up to its limit, so that memory has to be available.
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert int(resources["limits"]["memory"].removesuffix("Gi")) * 1024 * MIB >= needed
    assert environment(pods["api"])["API_PROCESSES"] == "2"


def test_one_pod_at_a_time_is_disrupted(by_name: dict[str, dict[str, Any]]) -> None:
    for part in ("api", "worker"):
        budget = by_name[f"PodDisruptionBudget/{part}"]["spec"]
        deployment = by_name[f"Deployment/{part}"]["spec"]
        assert budget["maxUnavailable"] == 1 < deployment["replicas"]
        assert budget["selector"] == deployment["selector"]


def test_ports_are_those_of_the_settings(
    pods: dict[str, dict[str, Any]], by_name: dict[str, dict[str, Any]]
) -> None:
    for part, name in (("api", "PORT"), ("worker", "METRICS_PORT")):
        [port] = pods[part]["containers"][0]["ports"]
        assert environment(pods[part])[name] == str(port["containerPort"])
    assert by_name["Service/api"]["spec"]["ports"][0]["targetPort"] == "http"
    assert requires_tokens("auto", environment(pods["api"])["HOST"])


def test_network_policies_allow_only_named_traffic(
    by_name: dict[str, dict[str, Any]], documents: list[dict[str, Any]]
) -> None:
    denied = by_name["NetworkPolicy/millgate"]["spec"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in denied
    assert {port["port"] for rule in denied["egress"] for port in rule["ports"]} == {53}
    for template in (by_name[name]["spec"]["template"] for name in ("Deployment/api", "Job/migrate")):
        assert denied["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    # Only workers reach gateways, as in the settings.
    gateways = by_name["NetworkPolicy/gateways"]["spec"]
    assert gateways["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "worker"}
    networks = [to["ipBlock"]["cidr"] for rule in gateways["egress"] for to in rule["to"]]
    assert ",".join(networks) == settings(documents)["GATEWAY_NETWORKS_ALLOWED"]


def test_the_probes_are_answered_with_the_settings_of_the_example(
    database_url: str, tmp_path: Path, pods: dict[str, dict[str, Any]], documents: list[dict[str, Any]]
) -> None:
    container = pods["api"]["containers"][0]
    host = {"HOST": environment(pods["api"])["HOST"]}
    with ApiServer(database_url, tmp_path / "api.log", {**settings(documents), **host}) as api:
        for probe in (container["readinessProbe"], container["livenessProbe"]):
            request = probe["httpGet"]
            headers = {header["name"]: header["value"] for header in request["httpHeaders"]}
            # The kubelet sends the pod's address as host.
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=probe["timeoutSeconds"])
            connection.request("GET", request["path"], headers={"Host": "10.42.0.7:3000", **headers})
            assert connection.getresponse().status == 200
            connection.close()

"""What docs/cluster/ has for Kubernetes and Slurm, and docs/scaling.md shows, is valid and true.

Manifests are held against schemas (their source: `schemas/kubernetes.json`), against each other
and against what the page has a user create; the script for Slurm runs, with Slurm's commands and
Ray pretended.
"""

import contextlib
import copy
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "docs" / "cluster"
PAGE = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
SCRIPT = CLUSTER / "search.sbatch"
MANIFESTS = sorted(CLUSTER.glob("*.yaml"))
SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())
SECONDS = 30.0


def documents(file: Path) -> list[Any]:
    return [*yaml.safe_load_all(file.read_text())]


ALL = [each for file in MANIFESTS for each in documents(file)]


def check(document: Any) -> None:
    schema = {**SCHEMAS["kinds"][document["kind"]], "$defs": SCHEMAS["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def found(node: Any, key: str) -> Iterator[Any]:
    """All values of a key, wherever it stands."""
    if isinstance(node, dict):
        yield from ([node[key]] if key in node else [])
        for each in node.values():
            yield from found(each, key)
    if isinstance(node, list):
        for each in node:
            yield from found(each, key)


def of_kind(kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each for each in ALL if each["kind"] == kind}


def pods() -> list[Any]:
    """What all pods are made of."""
    return [each["spec"] for each in found(ALL, "template")]


def containers() -> list[Any]:
    kinds = ("containers", "initContainers")
    return [each for kind in kinds for some in found(ALL, kind) for each in some]


# Manifests


def test_the_schemas_are_schemas_and_say_where_they_are_from() -> None:
    for kind in SCHEMAS["kinds"].values():
        jsonschema.Draft202012Validator.check_schema({**kind, "$defs": SCHEMAS["$defs"]})
    assert "Apache License" in SCHEMAS["$comment"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_a_manifest_is_valid(file: Path) -> None:
    for document in documents(file):
        check(document)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayJob", "apiVersion", "ray.io/v1alpha1"),
        ("RayJob", "spec.backoffLimits", 10),
        ("RayJob", "spec.rayClusterSpec.authOptions.mode", "tokens"),
        ("RayJob", "spec.rayClusterSpec.workerGroupSpecs.0.replicas", "four"),
        ("RayJob", "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("RayJob", "spec.rayClusterSpec.headGroupSpec.template.spec.container", []),
        ("StatefulSet", "spec.template.spec.containers.0.env.0.value", 5),
        ("StatefulSet", "spec.template.spec.containers.0.resources.limits.memory", "2Gb"),
        ("Deployment", "spec.template.spec.containers.0.ports.0.containerPort", "http"),
        ("Deployment", "spec.selector", None),
        ("NetworkPolicy", "spec.ingress.0.from.0.podSelectors", {}),
        ("PersistentVolumeClaim", "spec.accessModes", "ReadWriteOnce"),
        ("Service", "spec.ports.0", {"target": 5432}),
        ("ConfigMap", "kind", "ConfigMaps"),
    ],
)
def test_a_broken_one_is_not(kind: str, path: str, value: object) -> None:
    document = copy.deepcopy(next(each for each in ALL if each["kind"] == kind))
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    functools.reduce(lambda node, key: node[key], way, document)[last] = value
    with pytest.raises((jsonschema.ValidationError, KeyError)):
        check(document)


def test_what_a_manifest_names_is_there() -> None:
    secrets = dict(re.findall(r"kubectl create secret generic (\w+) --from-literal=(\w+)=", PAGE))
    maps = {*of_kind("ConfigMap"), *re.findall(r"kubectl create configmap (\w+) ", PAGE)}
    references = [*found(ALL, "secretKeyRef")]
    assert len(references) == 3
    for each in references:
        assert secrets[each["name"]] == each["key"]
    for pod in pods():
        volumes = {each["name"]: each for each in pod.get("volumes", ())}
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            else:
                assert volume["persistentVolumeClaim"]["claimName"] in of_kind(
                    "PersistentVolumeClaim"
                )
        templates = {
            each["metadata"]["name"]
            for some in found(ALL, "volumeClaimTemplates")
            for each in some
        }
        for mounts in found(pod, "volumeMounts"):
            assert {each["name"] for each in mounts} <= volumes.keys() | templates
    labels = [each["metadata"]["labels"] for each in found(ALL, "template") if "metadata" in each]
    assert all(each["spec"]["selector"] in labels for each in of_kind("Service").values())


def test_stores_are_reached_by_the_names_of_their_services() -> None:
    values = {each["name"]: each.get("value") for some in found(ALL, "env") for each in some}
    assert values["PIPELINE_STORAGE"] == "postgresql+psycopg://searcher@postgres/optuna"
    assert values["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg://searcher@postgres/mlflow"
    assert values["POSTGRES_USER"] == "searcher"
    assert values["POSTGRES_DB"] == "optuna"
    assert of_kind("ConfigMap")["databases"]["data"]["databases.sql"] == "CREATE DATABASE mlflow;"
    assert values["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert of_kind("Service").keys() == {"postgres", "mlflow"}
    (server,) = (each for each in containers() if each["name"] == "mlflow")
    assert "mlflow:5000,localhost:5000" in server["args"]
    trainers = of_kind("RayJob")["quick"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert not [*found(trainers, "env")]  # no password goes there


def test_all_pods_run_the_image_that_the_page_builds() -> None:
    (image,) = re.findall(r"docker build .*--tag (\S+)", PAGE)
    assert {each["image"] for each in containers()} == {image, "postgres:17"}
    locked = dict(
        re.findall(r"^([\w-]+)==(\S+)", (REPOSITORY / "requirements.lock").read_text(), re.M)
    )
    assert [*found(ALL, "rayVersion")] == [locked["ray"]]


def test_the_image_is_made_of_what_is_there(tmp_path: Path) -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*) \S+$", text, re.M):
        assert all((REPOSITORY / each).exists() for each in line.split())
    (sed,) = re.findall(r"sed '([^']*)' requirements.lock", text)
    lock = REPOSITORY / "requirements.lock"
    done = subprocess.run(["sed", sed, lock], capture_output=True, text=True, check=True)
    pinned = [
        Requirement(line) for line in done.stdout.splitlines() if not line.lstrip().startswith("#")
    ]
    assert len(pinned) > 100
    assert all(len(each.specifier) == 1 and not each.extras for each in pinned)
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert "[cluster]" in text
    assert "cluster" in extras["optional-dependencies"]


# Commands and variables


def shown() -> str:
    """All that a user is shown to run, or that runs for one."""
    files = [file.read_text() for file in [*MANIFESTS, SCRIPT, CLUSTER / "Dockerfile"]]
    return "\n".join(
        [
            PAGE,
            *files,
            *[" ".join(each.get("command", []) + each.get("args", [])) for each in containers()],
        ]
    )


def flags(command: str) -> set[str]:
    lines = re.sub(r"\\\n\s*", "", shown()).splitlines()
    uses = [line.partition(command)[2] for line in lines if re.search(rf"{command}\b", line)]
    assert uses, command
    return {
        flag
        for each in uses
        for flag in re.findall(r"(--[a-z][a-z-]+)", re.split("[|#&`]", each)[0])
    }


@pytest.mark.parametrize(
    "command", ["ray start", "ray get-auth-token", "ray status", "mlflow server"]
)
def test_every_flag_of_another_program_exists(command: str) -> None:
    program, name = command.split()
    path = str(Path(sys.executable).with_name(program))
    done = subprocess.run([path, name, "--help"], capture_output=True, text=True, check=True)
    assert flags(command) <= {*re.findall(r"--[a-z][a-z-]+", done.stdout)} | {"--help"}


def test_every_flag_of_a_search_exists() -> None:
    contracts = (REPOSITORY / "docs" / "contracts.md").read_text()
    (row,) = re.findall(r"^\| `search` \|.*$", contracts, re.M)
    assert {"--engine"} <= flags("pipeline.search") <= {*re.findall(r"--[a-z-]+", row)}
    assert of_kind("RayJob")["quick"]["spec"]["entrypoint"].endswith(
        "python -m pipeline.search quick --engine ray"
    )


def test_every_environment_variable_is_read_by_somebody() -> None:
    named = {*re.findall(r"\b(?:PIPELINE|MLFLOW|RAY)_[A-Z_]+\b", shown())}
    assert {"PIPELINE_STORAGE", "RAY_ADDRESS", "RAY_AUTH_TOKEN"} <= named
    packages = Path(pytest.__file__).parents[1]
    roots = [REPOSITORY / "pipeline", packages / "mlflow" / "cli", packages / "ray" / "_private",
             packages / "ray" / "_common", packages / "mlflow" / "server"]  # fmt: skip
    for root in roots:
        for file in root.rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            named = {name for name in named if name not in text}
    assert not named


# Slurm

_PROGRAMS = {
    "scontrol": 'if [ "$1" = show ]; then printf "n1\\nn2\\nn3\\n"; fi',
    "getent": 'echo "10.0.0.1  STREAM $2"',
    "srun": "sleep 600",
    "ray": "",
    "python": "trap 'exit 130' TERM; until [ -e \"$0.end\" ]; do sleep 0.1; done; exit 1",
}


class Slurm:
    """A project's folder on a node, and programs that note what they are asked."""

    def __init__(self, folder: Path) -> None:
        self.said, self.programs = folder / "said", folder / "programs"
        self.programs.mkdir()
        for name, body in _PROGRAMS.items():
            file = self.programs / name
            note = (
                f'echo "$RAY_AUTH_MODE${{#RAY_AUTH_TOKEN}} $RAY_ADDRESS {name} $*" >> {self.said}'
            )
            file.write_text(f"#!/bin/bash\n{note}\n{body}\n")
            file.chmod(0o755)
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "activate").write_text(f"PATH={self.programs}:$PATH\n")
        self._folder = folder

    def start(self, n_nodes: int, *arguments: str) -> "subprocess.Popen[bytes]":
        given = {
            "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "16",
            "SLURM_JOB_NUM_NODES": str(n_nodes),
        }  # fmt: skip
        own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        path = f"{self.programs}:{own['PATH']}"  # Slurm's programs are there without the project
        return subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            cwd=self._folder,
            env={**own, **given, "PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []

    def wait_for(self, *words: str) -> None:
        end = time.monotonic() + SECONDS
        while not all(any(word in line for line in self.lines()) for word in words):
            assert time.monotonic() < end, self.lines()
            time.sleep(0.05)


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def end(script: "subprocess.Popen[bytes]") -> None:
    """Does what Slurm does when a job's script is done: nothing of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(script.pid, signal.SIGKILL)
    script.wait()


def test_the_script_starts_ray_on_all_nodes_and_searches_on_the_first(slurm: Slurm) -> None:
    script = slurm.start(3, "houses")
    try:
        slurm.wait_for("python -m", "srun")
        token = "token64"  # in the environment, where no other user reads it
        assert set(slurm.lines()) == {
            f"{token}  scontrol show hostnames n[1-3]",
            f"{token}  getent ahostsv4 n1",
            f"{token}  ray start --head --node-ip-address=10.0.0.1 --port=6379 "
            "--include-dashboard=false --num-cpus=15",
            f"{token}  srun --nodes=2 --ntasks=2 --exclude=n1 --no-kill --kill-on-bad-exit=0 "
            "ray start --address=10.0.0.1:6379 --num-cpus=16 --block",
            f"{token} 10.0.0.1:6379 python -m pipeline.search houses --engine ray",
        }
        script.send_signal(signal.SIGUSR1)
        assert script.wait(SECONDS) == 0
        assert slurm.lines()[-1].endswith("scontrol requeue 7")
    finally:
        end(script)


def test_on_one_node_it_ends_as_the_search_does(slurm: Slurm) -> None:
    script = slurm.start(1, "houses")
    try:
        slurm.wait_for("python -m")
        (slurm.programs / "python.end").touch()
        assert script.wait(SECONDS) == 1
        assert not any("srun" in line or "requeue" in line for line in slurm.lines())
    finally:
        end(script)


def test_without_a_study_nothing_starts(slurm: Slurm) -> None:
    script = slurm.start(1)
    assert script.wait(SECONDS) == 1
    assert not slurm.lines()

# SPDX-License-Identifier: Apache-2.0
"""The DaemonSet for the nodes of a cluster: its objects by the schema of Kubernetes' client library, and
its script on a directory that stands for the host."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import layout, skipping
from support.build import SOURCE
from support.installation import COMMANDS
from support.view import Finished, program, run
from support.waiting import wait_until

KUBERNETES = SOURCE / "packaging/kubernetes"

def objects(name: str) -> list[dict[str, Any]]:
    try:
        import yaml
    except ImportError:
        skipping.skip("no python3-yaml")
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


# The schema


def faults(value: Any, kind: str, at: str) -> list[str]:
    """What in VALUE is not as the client library's model KIND has it; its constructor checks the rest."""
    from kubernetes.client import models

    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            return [f"{at} is no list"]
        return [fault for n, item in enumerate(value) for fault in faults(item, inner[1], f"{at}[{n}]")]
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return [fault for key, item in value.items() for fault in faults(item, inner[1], f"{at}.{key}")]
    if simple := {"str": str, "int": int, "bool": bool, "object": object}.get(kind):
        return [] if isinstance(value, simple) else [f"{at} is no {kind}"]
    model = getattr(models, kind)
    names = {name: attribute for attribute, name in model.attribute_map.items()}
    found = [f"{at}.{name} is unknown" for name in value if name not in names]
    known = {names[name]: item for name, item in value.items() if name in names}
    for attribute, item in known.items():
        where = f"{at}.{model.attribute_map[attribute]}"
        found += faults(item, model.openapi_types[attribute], where)
    try:
        model(**known)
    except ValueError as error:
        found.append(f"{at}: {error}")
    return found


def test_the_daemonset_is_as_the_schema_says() -> None:
    try:
        import kubernetes  # noqa: F401
    except ImportError:
        skipping.skip("no python3-kubernetes")
    (daemonset,) = objects("daemonset.yaml")
    assert faults(daemonset, "V1DaemonSet", "") == []
    # What a typing error would look like.
    spec = daemonset["spec"]["template"]["spec"]
    spec["containers"][0]["volumeMount"] = []
    del spec["volumes"][0]["name"]
    found = faults(daemonset, "V1DaemonSet", "")
    assert len(found) == 2 and "volumeMount is unknown" in found[0] and "`name`" in found[1]


def test_the_kustomization_names_what_there_is() -> None:
    (kustomization,) = objects("kustomization.yaml")
    (config,) = kustomization["configMapGenerator"]
    assert all((KUBERNETES / name).is_file() for name in [*kustomization["resources"], *config["files"]])
    (daemonset,) = objects("daemonset.yaml")
    pod = daemonset["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert container["image"] == kustomization["images"][0]["name"]
    assert container["command"][1] == "/config/node"


# The script


@pytest.fixture
def bundle(place: Path) -> Path:
    """The programs under test, as the tarball has them."""
    bundle = place / "bundle"
    (bundle / "sbin").mkdir(parents=True)
    for name in ("urunc-viewfs", "viewfsctl", "mount.urunc-viewfs"):
        shutil.copy(program(name), bundle / "sbin" / name)
    for name in COMMANDS - {path.name for path in (bundle / "sbin").iterdir()}:
        (bundle / "sbin" / name).symlink_to("mount.urunc-viewfs")
    shutil.copy(SOURCE / "packaging/static/install", bundle)
    sums = subprocess.run(
        ["sh", "-c", "sha256sum install sbin/*"], cwd=bundle, stdout=subprocess.PIPE, check=True
    )
    (bundle / "SHA256SUMS").write_bytes(sums.stdout)
    return bundle


@pytest.fixture
def host(place: Path) -> Path:
    host = place / "host"
    for name in ("opt/urunc", "usr/local/bin", "var/cache/urunc-viewfs", "content"):
        (host / name).mkdir(parents=True)
    (host / "var/cache/urunc-viewfs").chmod(0o700)
    return host


def environment(bundle: Path, host: Path, **more: str) -> dict[str, str]:
    images = host.parent / "images"
    return {"HOST": str(host), "BUNDLE": str(bundle), "IMAGES": str(images), **more}


def capabilities() -> list[str]:
    """What wraps a command to leave it those of the container alone."""
    (daemonset,) = objects("daemonset.yaml")
    (container,) = daemonset["spec"]["template"]["spec"]["containers"]
    added = ["-all", *(f"+{name.lower()}" for name in container["securityContext"]["capabilities"]["add"])]
    return ["setpriv", f"--bounding-set={','.join(added)}", "--inh-caps=-all", "--no-new-privs"]


def node(action: str, bundle: Path, host: Path) -> Finished:
    return run(*capabilities(), KUBERNETES / "node", action, env=environment(bundle, host))


def held(host: Path) -> set[str]:
    return {str(path.relative_to(host)) for path in host.rglob("*")}


def test_the_script_installs_where_urunc_deploy_does_and_removes_all(bundle: Path, host: Path) -> None:
    (host / "opt/urunc/bin").mkdir()
    (host / "opt/urunc/bin/urunc").write_text("")
    before = held(host)
    for _ in range(2):
        finished = node("install", bundle, host)
        assert finished.status == 0, finished
    programs = {f"opt/urunc/bin/{name}" for name in COMMANDS}
    links = {f"usr/local/bin/{name}" for name in ("urunc-viewfs", "viewfsctl")}
    assert held(host) >= before | programs | links
    for link in links:
        assert os.readlink(host / link) == f"/opt/urunc/bin/{Path(link).name}"
    finished = node("cleanup", bundle, host)
    assert finished.status == 0, finished
    assert {path for path in held(host) if not path.startswith("var/cache/")} == {
        path for path in before if not path.startswith("var/cache/")
    }


def test_another_installations_program_stays(bundle: Path, host: Path) -> None:
    other = host / "usr/local/bin/viewfsctl"
    other.write_text("other")
    finished = node("install", bundle, host)
    assert finished.status == 0 and "another installation" in finished.stderr
    assert node("cleanup", bundle, host).status == 0
    assert other.read_text() == "other"


def test_the_listed_images_are_stored_with_the_containers_capabilities(
    bundle: Path, host: Path
) -> None:
    """One that the node has not pulled does not keep the others from it."""
    image = layout.Layout(host / "content")
    manifest = image.image(layout.usual_layers())["digest"]
    (host.parent / "images").write_text(
        f"# registry.example/none@sha256:{'1' * 64}\nregistry.example/a@sha256:{'2' * 64}\n"
        f"registry.example/b@{manifest}\n\nregistry.example/c:tag\n"
    )
    finished = node("fill", bundle, host)
    assert finished.status == 0, finished
    assert f"node: sha256:{'2' * 64} is not stored" in finished.stderr
    assert "1111" not in finished.stderr and manifest not in finished.stderr
    assert "node: 'registry.example/c:tag' names no digest" in finished.stderr
    store = f"store={host}/var/cache/urunc-viewfs"
    assert "1 manifest," in run(program("viewfsctl"), "store", "list", "-o", store).stdout


@pytest.mark.parametrize("clean", ["yes", "no"])
def test_the_end_of_the_pod_cleans_up_at_once_unless_it_may_not(
    bundle: Path, host: Path, clean: str
) -> None:
    env = {**os.environ, **environment(bundle, host, INTERVAL="600", CLEANUP=clean)}
    with subprocess.Popen([KUBERNETES / "node", "run"], env=env) as process:
        installed = host / "usr/local/bin/viewfsctl"
        wait_until(lambda: os.path.lexists(installed), "it to install")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert os.path.lexists(installed) == (clean == "no")
    assert (host / "opt/urunc/bin").exists() == (clean == "no")

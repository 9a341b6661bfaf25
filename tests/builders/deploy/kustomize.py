"""What `kubectl kustomize` makes of a folder, for the few features that deploy/ uses.

resources, components, namespace, images (newTag), patches (JSON 6902 by kind and name). Anything
else in a kustomization is an error here; a test holds this against kubectl where that is.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_FEATURES = {
    "apiVersion", "kind", "resources", "components", "namespace", "images", "patches",
}  # fmt: skip
_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume"}


def build(folder: Path, before: Sequence[Manifest] = ()) -> list[Manifest]:
    """Every manifest of a kustomization, its own changes made.

    Args:
        folder: of the kustomization.
        before: what a component is applied to.
    """
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(content) - _FEATURES:
        raise ValueError(f"{folder}: not understood here: {unknown}")
    manifests = [*before]
    manifests += [
        found for entry in content.get("resources", ()) for found in _read(folder / entry)
    ]
    for component in content.get("components", ()):
        manifests = build((folder / component).resolve(), manifests)
    for manifest in manifests:
        if "namespace" in content and manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = content["namespace"]
        _tag(manifest, {image["name"]: image["newTag"] for image in content.get("images", ())})
    for patch in content.get("patches", ()):
        _patch(manifests, patch["target"], yaml.safe_load((folder / patch["path"]).read_text()))
    return manifests


def _read(path: Path) -> list[Manifest]:
    if path.is_dir():
        return build(path.resolve())
    return [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]


def _tag(node: Any, tags: dict[str, str]) -> None:
    """Put tags on the images of containers, wherever they are."""
    if isinstance(node, list):
        for item in node:
            _tag(item, tags)
    elif isinstance(node, dict):
        if node.get("image") in tags:
            node["image"] = f"{node['image']}:{tags[node['image']]}"
        for value in node.values():
            _tag(value, tags)


def _patch(manifests: list[Manifest], target: dict[str, str], steps: list[Manifest]) -> None:
    (manifest,) = (
        found
        for found in manifests
        if (found["kind"], found["metadata"]["name"]) == (target["kind"], target["name"])
    )
    for step in steps:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]
        ]
        node: Any = manifest
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node[parent]
        _apply(node, last, step)


def _apply(node: Any, last: str, step: Manifest) -> None:
    """One step of JSON 6902 at the node that holds its place."""
    if step["op"] == "test":
        if node[last] != step["value"]:
            raise ValueError(f"not {step['value']} at {step['path']}")
    elif isinstance(node, list) and step["op"] == "add" and last == "-":
        node.append(copy.deepcopy(step["value"]))
    elif isinstance(node, dict) and step["op"] in ("add", "replace"):
        if step["op"] == "replace" and last not in node:
            raise ValueError(f"nothing to replace at {step['path']}")
        node[last] = copy.deepcopy(step["value"])
    else:
        raise ValueError(f"not understood here: {step}")

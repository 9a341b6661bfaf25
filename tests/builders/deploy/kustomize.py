"""The output of `kubectl kustomize`, for the few features that deploy/ uses.

Supported are resources, components, namespace, images (newTag) and patches (JSON 6902 by kind and
name). Anything else in a kustomization is an error; a test compares the output with kubectl where
it is installed.
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
    """Return every manifest of a kustomization, with its changes applied.

    Args:
        folder: folder of the kustomization.
        before: manifests to which a component is applied.
    """
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(content) - _FEATURES:
        raise ValueError(f"{folder}: not supported: {unknown}")
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
    """Add tags to the images of all containers in a manifest."""
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
    """Apply one step of JSON 6902 to the node that contains its target."""
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
        raise ValueError(f"not supported: {step}")

"""View of our model repository as a model repository of Triton; `models/` remains the original.

    OUT/
      g2d-cxr-trunk/    config.pbtxt 1/model.onnx 2/model.onnx
      g2d-cxr-text/     the same
      g2d-cxr-findings/ one for each head
      g2d-cxr-classify/ config.pbtxt 1/      the ensemble trunk -> findings of `stable`
      g2d-cxr-ground/   trunk + text -> the first `ground` head
      g2d-cxr-ground-similarity/    one for each further head of a task
      g2d-cxr-canary-classify/      the same for the version of another alias
      g2d-cxr-analyze/  all heads in one
      g2d-cxr-v2/       all heads of one version, from phrase features; the service calls this one

The view holds the versions of the aliases under our numbers, or the newest version if there is no
alias. `follow` renders it again when an alias has moved. Triton has one configuration for all
versions of a model, so versions whose tensors differ cannot be served side by side.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import InvalidVersion, ModelNotFound, PublishRefused, RadiographError
from radiograph.manifest import CHECK, HeadSpec, ModelManifest, Task
from radiograph.repository.repository import DEFAULT_ALIAS, Repository
from service.backends.triton.graph_models import (
    GraphModel,
    ensemble_name,
    graph_files,
    graph_models,
)
from service.backends.triton.model_config import (
    EnsembleNotes,
    StepTensor,
    ensemble_config,
    graph_config,
)
from service.backends.triton.repository_writer import MARK, RenderedModel, write

logger = logging.getLogger("g2d.triton")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Version:
    """One version and its graphs: `trunk`, `text` and the heads, by name.

    Attributes:
        number: number of the version.
        digest: SHA-256 of its manifest.
        folder: folder of the version.
        manifest: description of the version.
        graphs: its graphs as Triton models.
        files: the file of each graph.
    """

    number: int
    digest: str
    folder: Path
    manifest: ModelManifest
    graphs: Mapping[str, GraphModel]
    files: Mapping[str, str]

    def steps(self, *heads: str) -> dict[str, GraphModel]:
        """Return the graphs that compute some heads from a client's inputs, in order."""
        read = {tensor.name for head in heads for tensor in self.graphs[head].inputs}
        before = {role: self.graphs[role] for role in ("trunk", "text") if role in self.graphs}
        needed = {
            role: graph
            for role, graph in before.items()
            if read & {tensor.name for tensor in graph.outputs}
        }
        return needed | {head: self.graphs[head] for head in heads}


def render(
    repository: Repository,
    out: Path,
    name: str | None = None,
    *,
    keep: Collection[int] = (),
    previous: bool = False,
) -> list[str]:
    """Write the view of one model or of all; models that left the view are removed.

    Args:
        repository: our model repository; every rendered version is verified first.
        out: Triton's model repository, made if need be. Models of other origin stay untouched.
        name: name of the model, or None for all.
        keep: further versions of `name`, those that are still in use.
        previous: keep the target of a roll-back of each alias as well, if it still fits.

    Returns:
        Names of the Triton models that the view holds, sorted.

    Raises:
        ModelNotFound: there is nothing to render.
        InvalidVersion: a version fails verification, or two cannot be served side by side.
        PublishRefused: `out` lies in our repository, or holds a model of other origin with a name
            of the view.
        OSError: `out` cannot be written.
    """
    names = repository.names() if name is None else [name]
    if not names:
        raise ModelNotFound(f"nothing to render in {repository.root.resolve()}")
    if out.resolve().is_relative_to(repository.root.resolve()):
        raise PublishRefused("the view must not lie in the model repository")
    view: dict[str, RenderedModel] = {}
    for model in names:
        for triton_name, rendered in _triton_models(repository, model, keep, previous):
            if not _NAME.fullmatch(triton_name):
                raise InvalidVersion(f"not a valid name of a Triton model: {triton_name[:80]!r}")
            if triton_name in view:
                raise InvalidVersion(f"two Triton models would be called {triton_name}")
            view[triton_name] = rendered
    write(view, out, name)
    return sorted(view)


def follow(
    repository: Repository,
    out: Path,
    name: str | None,
    wait: Callable[[], bool],
    *,
    previous: bool = False,
) -> Iterator[list[str]]:
    """Render the view, and again whenever a version was added or removed or an alias moved.

    If rendering fails, the error is logged, the view stays as it was, and the next change is tried.

    Args:
        repository, out, name, previous: as for `render`.
        wait: pauses between two checks; returns False to end.

    Yields:
        The result of each `render`.
    """
    last: object = None
    while True:
        current = _fingerprint(repository, name)
        if current != last:
            try:
                yield render(repository, out, name, previous=previous)
                last = current
            except RadiographError as error:
                logger.error("the view stays as it was: %s", error)
                last = current
            except OSError as error:  # a full disk or a lost share: tried again
                logger.error("the view cannot be written: %s", error.strerror)
        if not wait():
            return


def _fingerprint(repository: Repository, name: str | None) -> object:
    """Return everything that a view depends on; the files of a version never change."""
    found: dict[str, tuple[list[int], str]] = {}
    for model in repository.names() if name is None else [name]:
        try:
            aliases = repository.aliases(model)
        except RadiographError as error:
            found[model] = ([], str(error))
        else:
            found[model] = (repository.versions(model), str(sorted(aliases.items())))
    return found


def _triton_models(
    repository: Repository, name: str, keep: Collection[int], previous: bool
) -> Iterator[tuple[str, RenderedModel]]:
    """Yield the Triton models of one of our models: graphs, then ensembles."""
    aliases = repository.aliases(name)
    if not aliases:
        aliases = {DEFAULT_ALIAS: max(repository.versions(name))}
    numbers = {*aliases.values(), *keep}
    versions = {number: _version(repository, name, number) for number in numbers}
    if previous:
        versions |= _roll_back_targets(repository, name, versions)
    ordered = [versions[number] for number in sorted(versions)]
    mark = f"{MARK}{name}\n"
    for role in dict.fromkeys(role for version in ordered for role in version.graphs):
        yield _graph(mark, role, [version for version in ordered if role in version.graphs])
    for alias, number in sorted(aliases.items()):
        prefix = name if alias == DEFAULT_ALIAS else f"{name}-{alias}"
        yield from _task_ensembles(mark, prefix, versions[number])
    for version in ordered:
        yield _version_ensemble(mark, name, version)


def _roll_back_targets(
    repository: Repository, name: str, versions: Mapping[int, Version]
) -> dict[int, Version]:
    """Return the targets of roll-backs that can be served beside the other versions."""
    found: dict[int, Version] = {}
    for number in repository.former(name) - set(versions):
        try:
            version = _version(repository, name, number)
            for role in version.graphs:
                beside = [*versions.values(), *found.values(), version]
                _graph("", role, [other for other in beside if role in other.graphs])
        except RadiographError as error:
            logger.warning("left out of the view: %s", error)
        else:
            found[number] = version
    return found


def _graph(mark: str, role: str, versions: Sequence[Version]) -> tuple[str, RenderedModel]:
    """Return one graph as a Triton model with all versions that have it."""
    graph, numbers = versions[0].graphs[role], [version.number for version in versions]
    for version in versions[1:]:
        if _signature(version.graphs[role]) != _signature(graph):
            raise InvalidVersion(
                f"{graph.name}: versions {versions[0].number} and {version.number} have different "
                "tensors, and Triton has one configuration for both; point the aliases to "
                "versions with the same tensors"
            )
    files: dict[int, tuple[Path, str] | None] = {}
    for version in versions:
        file = version.files[role]
        files[version.number] = (version.folder / file, version.manifest.files[file])
    return graph.name, RenderedModel(mark + graph_config(graph, numbers), files)


def _signature(graph: GraphModel) -> tuple[object, ...]:
    """Return the properties that versions must share; neither tensor order nor warm-up counts."""
    tensors = ([(t.name, t.type, t.dims) for t in side] for side in (graph.inputs, graph.outputs))
    return (graph.batch, *(frozenset(side) for side in tensors))


def _task_ensembles(
    mark: str, prefix: str, version: Version
) -> Iterator[tuple[str, RenderedModel]]:
    """Yield name and files of an ensemble for each task, and of one for all heads."""

    def ensemble(name: str, *heads: str, bare: bool = True) -> tuple[str, RenderedModel]:
        outputs = {
            (head, tensor.name): tensor.name if bare else f"{head}.{tensor.name}"
            for head in heads
            for tensor in version.graphs[head].outputs
        }
        return name, _ensemble(mark, name, version, version.steps(*heads), outputs)

    for task in version.manifest.tasks:
        first, *further = version.manifest.heads_for(task)
        yield ensemble(f"{prefix}-{task}", first)
        for head in further:
            yield ensemble(f"{prefix}-{task}-{head}", head)
    yield ensemble(f"{prefix}-analyze", *version.manifest.heads, bare=False)


def _version_ensemble(mark: str, name: str, version: Version) -> tuple[str, RenderedModel]:
    """Return the ensemble that the service calls: phrase features in, everything small out.

    Only vectors of the trunk are outputs. Triton drops a step none of whose outputs is requested,
    even if another step reads them, so a client of this ensemble must request all vectors.
    """
    steps = {role: graph for role, graph in version.graphs.items() if role != "text"}
    outputs = {
        (role, tensor.name): f"{role}.{tensor.name}"
        for role, graph in steps.items()
        for tensor in graph.outputs
        if role != "trunk" or len(tensor.dims) == 2
    }
    ensemble = ensemble_name(name, version.number)
    return ensemble, _ensemble(mark, ensemble, version, steps, outputs)


def _ensemble(
    mark: str,
    name: str,
    version: Version,
    steps: Mapping[str, GraphModel],
    outputs: Mapping[StepTensor, str],
) -> RenderedModel:
    """Return an ensemble with the entries of its heads in the manifest, and their labels."""
    heads = {step: version.manifest.heads[step] for step in steps if step in version.manifest.heads}
    parameters = {
        "model": version.manifest.name,
        "version": str(version.number),
        "digest": version.digest,
        "preprocess": version.manifest.preprocess.model_dump_json(),
        **{f"head.{head}": _described(spec) for head, spec in heads.items()},
    }
    named = {
        f"{head}.labels.txt": outputs[head, "logits"]
        for head, spec in heads.items()
        if spec.kind in (Task.CLASSIFY, CHECK)
    }
    notes = EnsembleNotes(parameters, {output: file for file, output in named.items()})
    texts = {file: _label_lines(heads[file.removesuffix(".labels.txt")]) for file in named}
    config = ensemble_config(name, version.number, steps, outputs, notes)
    return RenderedModel(mark + config, {version.number: None}, texts)


def _described(spec: HeadSpec) -> str:
    """Return the entry of a head in the manifest as JSON, without its file and in ASCII."""
    return json.dumps(spec.model_dump(mode="json", exclude={"file"}))


def _label_lines(spec: HeadSpec) -> str:
    return "".join(f"{label.name}\n" for label in spec.labels)


def _version(repository: Repository, name: str, number: int) -> Version:
    verified = repository.verify(name, number)
    manifest, folder = verified.manifest, verified.folder
    try:
        graphs, files = graph_models(manifest, folder), graph_files(manifest)
    except InvalidVersion as error:
        raise InvalidVersion(f"{name}/{number}: {error}") from error
    return Version(number, verified.digest, folder, manifest, graphs, files)

"""The model repository as Triton wants it: a view, written once, that `models/` stays the truth of.

    OUT/
      g2d-cxr-trunk/    config.pbtxt 1/model.onnx 2/model.onnx
      g2d-cxr-text/     the same
      g2d-cxr-findings/ one for each head
      g2d-cxr-classify/ config.pbtxt 1/      the ensemble trunk -> findings of `stable`
      g2d-cxr-ground/   trunk + text -> the first `ground` head
      g2d-cxr-ground-similarity/    the task's further heads
      g2d-cxr-canary-classify/      the same for what another alias points to
      g2d-cxr-analyze/  all heads in one; g2d-cxr-v2/ the same for one version, from features of
                        phrases, whatever the aliases are: what this service asks

Versions that an alias points to are there, under our numbers; the newest where there is no
alias. `follow` renders again when an alias moved. Shapes come from the golden outputs, so no
runtime is needed. Triton has one configuration for all versions of a model: versions whose
tensors differ cannot be served side by side.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import InvalidVersion, ModelNotFound, PublishRefused, RadiographError
from radiograph.manifest import HeadSpec, ModelManifest, Task
from radiograph.repository.repository import DEFAULT_ALIAS, Repository
from service.backends.golden import read_arrays
from service.backends.triton.model_config import Part, Tensor, ensemble_config, part_config
from service.backends.triton.repository_writer import MARK, Rendered, write

logger = logging.getLogger("g2d.triton")

MAX_BATCH = 8
MAX_PHRASES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Version:
    """One version and its graphs: `trunk`, `text` and the heads by name."""

    number: int
    folder: Path
    manifest: ModelManifest
    parts: Mapping[str, Part]
    files: Mapping[str, str]

    def steps(self, *heads: str) -> dict[str, Part]:
        """What computes heads from what a client sends, in order."""
        read = {tensor.name for head in heads for tensor in self.parts[head].inputs}
        before = {role: self.parts[role] for role in ("trunk", "text") if role in self.parts}
        needed = {
            role: part
            for role, part in before.items()
            if read & {tensor.name for tensor in part.outputs}
        }
        return needed | {head: self.parts[head] for head in heads}


def render(
    repository: Repository,
    out: Path,
    name: str | None = None,
    *,
    keep: Collection[int] = (),
    previous: bool = False,
) -> list[str]:
    """Write the view of one model or of all; what is no longer part of it goes.

    Args:
        repository: what is rendered; every version is verified first.
        out: Triton's model repository, made if need be. Models of others in it are left alone.
        name: the model; without it, all.
        keep: further versions of `name`, those that are still in use.
        previous: keep where a roll-back of each alias would go, too, where that still fits.

    Returns:
        Names of the Triton models that the view holds, sorted.

    Raises:
        ModelNotFound: there is nothing to render.
        InvalidVersion: a version does not hold, or two cannot be served side by side.
        PublishRefused: `out` lies in the repository, or holds a model of others of that name.
        OSError: `out` cannot be written.
    """
    names = repository.names() if name is None else [name]
    if not names:
        raise ModelNotFound(f"nothing to render in {repository.root.resolve()}")
    if out.resolve().is_relative_to(repository.root.resolve()):
        raise PublishRefused("the view must not lie in the model repository")
    view: dict[str, Rendered] = {}
    for model in names:
        for triton_name, rendered in _model(repository, model, keep, previous):
            if not _NAME.fullmatch(triton_name):
                raise InvalidVersion(f"not a name for a Triton model: {triton_name[:80]!r}")
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
    """Render, and again whenever a version came, went, or an alias moved.

    What cannot be rendered is logged, the view stays as it was, and the next change is tried.

    Args:
        repository, out, name, previous: as in `render`.
        wait: pauses between two looks; False ends it.

    Yields:
        What `render` returns, each time.
    """
    last: object = None
    while True:
        seen = _fingerprint(repository, name)
        if seen != last:
            try:
                yield render(repository, out, name, previous=previous)
                last = seen
            except RadiographError as error:
                logger.error("the view stays as it was: %s", error)
                last = seen
            except OSError as error:  # a full disk, a share that is away: tried again
                logger.error("the view cannot be written: %s", error.strerror)
        if not wait():
            return


def _fingerprint(repository: Repository, name: str | None) -> object:
    """What a view depends on; versions never change once they are there."""
    found: dict[str, tuple[list[int], str]] = {}
    for model in repository.names() if name is None else [name]:
        try:
            aliases = repository.aliases(model)
        except RadiographError as error:
            found[model] = ([], str(error))
        else:
            found[model] = (repository.versions(model), str(sorted(aliases.items())))
    return found


def _model(
    repository: Repository, name: str, keep: Collection[int], previous: bool
) -> Iterator[tuple[str, Rendered]]:
    """The Triton models of one of ours: graphs, then ensembles."""
    aliases = repository.aliases(name)
    if not aliases:
        aliases = {DEFAULT_ALIAS: max(repository.versions(name))}
    numbers = {*aliases.values(), *keep}
    versions = {number: _version(repository, name, number) for number in numbers}
    if previous:
        versions |= _former(repository, name, versions)
    ordered = [versions[number] for number in sorted(versions)]
    mark = f"{MARK}{name}\n"
    for role in dict.fromkeys(role for version in ordered for role in version.parts):
        yield _graph(mark, role, [version for version in ordered if role in version.parts])
    for alias, number in sorted(aliases.items()):
        prefix = name if alias == DEFAULT_ALIAS else f"{name}-{alias}"
        for ensemble, config in _ensembles(prefix, versions[number]):
            yield ensemble, Rendered(mark + config, {number: None})
    for version in ordered:
        whole, config = _whole(name, version)
        yield whole, Rendered(mark + config, {version.number: None})


def _former(
    repository: Repository, name: str, versions: Mapping[int, Version]
) -> dict[int, Version]:
    """Where roll-backs would go: those that hold and can stand beside the others."""
    found: dict[int, Version] = {}
    for number in repository.former(name) - set(versions):
        try:
            version = _version(repository, name, number)
            for role in version.parts:
                beside = [*versions.values(), *found.values(), version]
                _graph("", role, [other for other in beside if role in other.parts])
        except RadiographError as error:
            logger.warning("left out of the view: %s", error)
        else:
            found[number] = version
    return found


def _graph(mark: str, role: str, versions: Sequence[Version]) -> tuple[str, Rendered]:
    """One graph in all the versions that have it."""
    part, numbers = versions[0].parts[role], [version.number for version in versions]
    for version in versions[1:]:
        if _signature(version.parts[role]) != _signature(part):
            shown = f"versions {versions[0].number} and {version.number}"
            raise InvalidVersion(
                f"{part.name}: {shown} have other tensors, and Triton has one configuration "
                "for both; point the aliases to versions that are alike"
            )
    graphs: dict[int, tuple[Path, str] | None] = {}
    for version in versions:
        file = version.files[role]
        graphs[version.number] = (version.folder / file, version.manifest.files[file])
    return part.name, Rendered(mark + part_config(part, numbers), graphs)


def _signature(part: Part) -> tuple[object, ...]:
    """What two versions must agree in; the order of tensors and the warm-up do not matter."""
    tensors = ([(t.name, t.type, t.dims) for t in side] for side in (part.inputs, part.outputs))
    return (part.batch, *(frozenset(side) for side in tensors))


def _ensembles(prefix: str, version: Version) -> Iterator[tuple[str, str]]:
    """Name and configuration of an ensemble for each task, and of one for all."""

    def ensemble(name: str, *heads: str, bare: bool = True) -> tuple[str, str]:
        outputs = {
            (head, tensor.name): tensor.name if bare else f"{head}.{tensor.name}"
            for head in heads
            for tensor in version.parts[head].outputs
        }
        return name, ensemble_config(name, version.number, version.steps(*heads), outputs)

    for task in version.manifest.tasks:
        first, *further = version.manifest.heads_for(task)
        yield ensemble(f"{prefix}-{task}", first)
        for head in further:
            yield ensemble(f"{prefix}-{task}-{head}", head)
    yield ensemble(f"{prefix}-analyze", *version.manifest.heads, bare=False)


def whole_name(name: str, number: int) -> str:
    """What the ensemble of a whole version is called."""
    return f"{name}-v{number}"


def _whole(name: str, version: Version) -> tuple[str, str]:
    """The ensemble that the service asks: features of phrases in, everything small out.

    Of the trunk only vectors come out. Triton drops a step whose outputs nobody asks for, even
    where another step reads them, so whoever asks this ensemble asks for every one of them.
    """
    steps = {role: part for role, part in version.parts.items() if role != "text"}
    outputs = {
        (role, tensor.name): f"{role}.{tensor.name}"
        for role, part in steps.items()
        for tensor in part.outputs
        if role != "trunk" or len(tensor.dims) == 2
    }
    ensemble = whole_name(name, version.number)
    return ensemble, ensemble_config(ensemble, version.number, steps, outputs)


def _version(repository: Repository, name: str, number: int) -> Version:
    repository.verify(name, number)
    manifest, folder = repository.load_manifest(name, number), repository.folder(name, number)
    try:
        parts, files = parts_of(manifest, folder), _files(manifest)
    except InvalidVersion as error:
        raise InvalidVersion(f"{name}/{number}: {error}") from error
    return Version(number, folder, manifest, parts, files)


def parts_of(manifest: ModelManifest, folder: Path) -> dict[str, Part]:
    """The graphs of a version, as Triton models: `trunk`, `text` and the heads by name.

    Raises:
        InvalidVersion: the golden outputs do not show a tensor, or a head's name is taken.
    """
    recorded = read_arrays(folder / manifest.golden.file)
    shapes = {key: value.shape for key, value in recorded.items()}
    return {role: _part(manifest, role, shapes) for role in _files(manifest)}


def _files(manifest: ModelManifest) -> dict[str, str]:
    files = {"trunk": manifest.trunk.file}
    if manifest.text is not None:
        files["text"] = manifest.text.file
    if taken := sorted(set(files) & set(manifest.heads)):
        raise InvalidVersion(f"a head must not be called {taken[0]}")
    return files | {head: spec.file for head, spec in manifest.heads.items()}


def _part(manifest: ModelManifest, role: str, shapes: Shapes) -> Part:
    name = f"{manifest.name}-{role}"
    if role == "trunk":
        image = _tensor("image", "image", shapes)
        features = tuple(_tensor(item, f"trunk.{item}", shapes) for item in manifest.trunk.outputs)
        return Part(name, "trunk", (image,), features, MAX_BATCH)
    if role == "text":
        ids = (_tensor(item, item, shapes, 2, "INT64") for item in ("input_ids", "attention_mask"))
        phrases = _tensor("phrase_features", "text.phrase_features", shapes)
        return Part(name, "text", tuple(ids), (phrases,), MAX_PHRASES)
    return _head(name, role, manifest.heads[role], shapes)


def _head(name: str, head: str, spec: HeadSpec, shapes: Shapes) -> Part:
    inputs = tuple(
        _tensor(item, f"{side}.{item}", shapes)
        for item in spec.inputs
        for side in ["text" if item == "phrase_features" else "trunk"]
    )
    mixed = spec.kind is Task.GROUND or "phrase_features" in spec.inputs
    varying = 2 if spec.kind is Task.GROUND else 1
    start = f"{head}."
    outputs = tuple(
        _tensor(key.removeprefix(start), key, shapes, varying)
        for key in shapes
        if key.startswith(start) and "." not in key.removeprefix(start)
    )
    if not outputs:
        raise InvalidVersion(f"golden outputs: nothing of head {head}")
    # Images and phrases are counted along the first axes of different inputs: no common batch.
    return Part(name, "head", inputs, outputs, 0 if mixed else MAX_BATCH)


def _tensor(name: str, key: str, shapes: Shapes, varying: int = 1, kind: str = "FP32") -> Tensor:
    """A tensor as the golden file shows it, its first `varying` axes free."""
    shape = shapes.get(key, ())
    if len(shape) < max(varying, 2) or 0 in shape:
        raise InvalidVersion(f"golden outputs: `{key}` is {shape or 'missing'}")
    fixed = shape[varying:]
    sample = (1, *shape[1:])
    return Tensor(name, f"TYPE_{kind}", (*[-1] * varying, *fixed), sample)

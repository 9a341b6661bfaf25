"""Writer of Triton's model repository: replaces our models one by one, and no others.

    RenderedModel (config, graphs) -> OUT/.g2d-rendering/NAME/ -> OUT/NAME/

Each Triton model is written in `.g2d-rendering` and then renamed. A model without changes is not
touched, and a graph keeps its modification time, so that Triton loads only what is new. Replacing
a model takes two renames, so reload Triton after the command, not while it runs.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radiograph.errors import InvalidVersion, PublishRefused
from radiograph.repository.integrity.version_files import (
    digest_file,
    digest_files,
    entries,
    open_regular,
    sync_folder,
    sync_folders,
    write_file,
)

CONFIG = "config.pbtxt"
MARK = "# Rendered by `g2d models triton` from the model "
"""First line of our configurations, followed by the name of our model."""
_STAGE = ".g2d-rendering"


@dataclass
class RenderedModel:
    """One Triton model before it is written.

    Attributes:
        config: text of its `config.pbtxt`.
        graphs: version number -> file and digest of the graph; None in an ensemble.
        texts: further files beside the configuration, by name.
    """

    config: str
    graphs: dict[int, tuple[Path, str] | None] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def _only_writer(out: Path) -> Iterator[Path]:
    """Provide an empty folder in `out` to write in, without remains of a killed command."""
    stage, descriptor = out / _STAGE, os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        os.close(descriptor)


def write(view: Mapping[str, RenderedModel], out: Path, only: str | None) -> None:
    """Write a view, or the part of it that is rendered from the model `only`.

    Raises:
        PublishRefused: `out` holds a model of other origin with a name of the view.
        InvalidVersion: a graph changed while it was copied.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _only_writer(out) as stage:
        _write(view, out, stage, only)


def _write(view: Mapping[str, RenderedModel], out: Path, stage: Path, only: str | None) -> None:
    """Stage every model, then put them in place, then remove those that left the view."""
    ours = {name: model for name in entries(out) for model in [_source(out / name)] if model}
    for name in view:
        if os.path.lexists(out / name) and not _may_replace(ours.get(name), only):
            raise PublishRefused(f"{out / name} is of another origin; nothing was written")
    for name, rendered in view.items():
        _stage(stage / name, rendered)
    stale = [name for name in ours if name not in view and _may_replace(ours[name], only)]
    for name in view:
        if not _same(stage / name, out / name):
            _replace(stage / name, out / name)
    for name in stale:
        (out / name).rename(stage / f".{name}")
    sync_folder(out)


def _may_replace(source: str | None, only: str | None) -> bool:
    """Return whether this command may replace or remove a Triton model."""
    return source is not None and only in (None, source)


def _same(staged: Path, existing: Path) -> bool:
    """Return whether a Triton model is already up to date, empty version folders included."""
    try:
        return entries(staged) == entries(existing) and digest_files(staged) == digest_files(
            existing
        )
    except InvalidVersion:  # it contains a link
        return False


def _source(folder: Path) -> str | None:
    """Return the name of our model that a Triton model was rendered from, or None."""
    try:
        with open_regular(folder / CONFIG) as file:
            line = file.readline(200).decode()
    except (OSError, UnicodeDecodeError, InvalidVersion):
        return None
    return line.removeprefix(MARK).strip() if line.startswith(MARK) else None


def _stage(folder: Path, rendered: RenderedModel) -> None:
    folder.mkdir()
    write_file(folder / CONFIG, rendered.config.encode())
    for name, text in rendered.texts.items():
        write_file(folder / name, text.encode())
    for number, graph in rendered.graphs.items():
        (folder / str(number)).mkdir()
        if graph is not None:
            _copy(*graph, folder / str(number) / "model.onnx")
            _set_time(folder / str(number), graph[0])
    sync_folders(folder)


def _copy(source: Path, digest: str, target: Path) -> None:
    """Copy a graph, and check that it is still the one that was verified."""
    with open_regular(source) as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        writer.flush()
        os.fsync(writer.fileno())
    if digest_file(target) != digest:
        raise InvalidVersion(f"{source.name} changed while it was copied")


def _set_time(version: Path, source: Path) -> None:
    """Set the times by which Triton notices that a version has changed."""
    changed = source.stat().st_mtime_ns
    for path in (version / "model.onnx", version):
        os.utime(path, ns=(changed, changed))


def _replace(new: Path, place: Path) -> None:
    if place.exists():
        place.rename(new.with_name(f".{new.name}"))
    new.rename(place)

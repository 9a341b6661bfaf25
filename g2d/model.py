"""A model in this process: `g2d.load` gives one."""

import os
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from g2d import sources
from g2d.loading import find, open_version
from g2d.results import ModelVersion, Result
from g2d.sources import Source
from g2d.tasks import Answers, Many, Question

if TYPE_CHECKING:
    from service.registry.loading.loader import OpenVersion
    from service.settings import Settings


class Model(Answers):
    """One version of a model, loaded into this process; `g2d.load` makes it.

    Its methods are those of `g2d.Client`, and its answers are those of the service. It may be
    called from several threads. `close`, or a `with` block, frees its memory.
    """

    def __init__(self, opened: "OpenVersion", settings: "Settings") -> None:
        self._opened = opened
        self._max_bytes = settings.limits.max_body_bytes

    @property
    def version(self) -> ModelVersion:
        """Name, number and digest of the version."""
        identity = self._opened.analysis.identity
        return ModelVersion(identity.name, identity.version, identity.digest, identity.variant)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that the version offers."""
        return tuple(task.value for task in self._opened.analysis.manifest.tasks)

    def close(self) -> None:
        """Free the model; it answers nothing afterwards."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<g2d.Model {self._opened.analysis.identity}>"

    def _one(self, question: Question, source: Source) -> Result:
        from radiograph.manifest import Task
        from service.encoders import json_encoder
        from service.inference.types import AnalysisRequest

        request = AnalysisRequest(
            tuple(Task(task) for task in question.tasks),
            question.phrases,
            question.method,
            question.uncertainty,
        )
        with sources.named(source):
            data = sources.read(source, self._max_bytes)
            answer = self._opened.analysis.run_here(request, data)
        text = json_encoder.encode(answer, uuid.uuid4().hex, question.heatmap)
        return Result.from_json(text, sources.kept(source, data))

    def _each(self, question: Question, sources: Many) -> Iterator[Result]:
        return (self._one(question, source) for source in sources)


def load(
    source: str | os.PathLike[str] | None = None,
    version: str | int | None = None,
    *,
    threads: int | None = None,
) -> Model:
    """Load a model into this process, with all checks of the service.

    Args:
        source: name of a model, `NAME/VERSION`, or the folder of a version, a model or models. By
            default the shipped model: that of the folder `models`, of `G2D_MODELS_DIR`, or of the
            package g2d-cxr-model.
        version: number or alias; `stable` by default.
        threads: threads of one graph; all available CPUs by default.

    Raises:
        ModelNotFound: there is no such model or version; `searched` is the folder.
        InvalidVersion: the version fails verification.
        ServiceError: a setting (`G2D_*`) is invalid, or its hardware does not compute.
    """
    from service.settings import Settings

    reference = find(source)
    settings = Settings.from_environment().changed(
        models_dir=reference.models_dir, default_model=reference.model, threads=threads
    )
    chosen = reference.version if version is None else str(version)
    return Model(open_version(settings, chosen), settings)

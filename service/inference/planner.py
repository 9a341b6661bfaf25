"""Planner: choose the heads that answer a request, or refuse it before any work is done.

AnalysisRequest --tasks, method--> heads of the manifest --+
                --phrases--> normalised, tokens counted ---+--> Plan
"""

from radiograph.errors import TaskNotOffered, UnusablePhrase
from radiograph.manifest import CHECK, HeadSpec, ModelManifest, Task
from service.inference.phrase_encoder import PhraseEncoder, normalise
from service.inference.types import AnalysisRequest, Plan
from service.inference.views import VIEWS
from service.settings import LimitSettings


class Planner:
    """Plans requests for one version.

    Args:
        name: the version, as errors name it.
        manifest: the heads that the version offers.
        phrases: encoder of phrases, or None for a version without one.
        limits: bounds on the phrases of one request.
    """

    def __init__(
        self,
        name: str,
        manifest: ModelManifest,
        phrases: PhraseEncoder | None,
        limits: LimitSettings,
    ) -> None:
        self._name = name
        self._manifest = manifest
        self._phrases = phrases
        self._limits = limits

    def plan(self, request: AnalysisRequest) -> Plan:
        """Plan a request. Does not block.

        Raises:
            TaskNotOffered: the version has no head for a task or method.
            UnusablePhrase: a phrase is missing, or one cannot be used.
        """
        tasks = request.tasks or self._offered(with_phrases=bool(request.phrases))
        heads = {
            name: head for task in tasks for name, head in self._heads(task, request.method).items()
        }
        heads |= self._manifest.heads_for(CHECK)  # every answer has the warnings
        phrases: tuple[str, ...] = ()
        if Task.GROUND in tasks:
            phrases = self._checked(request.phrases)
        elif request.phrases:
            raise UnusablePhrase("a phrase was given, but the task `ground` was not asked for")
        return Plan(heads, tasks, phrases, VIEWS if request.uncertainty else ())

    def _offered(self, *, with_phrases: bool) -> tuple[Task, ...]:
        """Return the tasks of a request that names none."""
        return tuple(
            task for task in self._manifest.tasks if task is not Task.GROUND or with_phrases
        )

    def _heads(self, task: Task, method: str | None) -> dict[str, HeadSpec]:
        """Return every head for a task, but a single one for `ground`."""
        offered = self._manifest.heads_for(task)
        if task is not Task.GROUND:
            heads = offered
        else:
            fitting = {n: head for n, head in offered.items() if method in (None, head.method)}
            heads = dict(list(fitting.items())[:1])
        if not heads:
            asked = f"{task}" if task is not Task.GROUND or not offered else f"{task} ({method})"
            raise TaskNotOffered(f"{self._name} does not offer {asked}")
        return heads

    def _checked(self, phrases: tuple[str, ...]) -> tuple[str, ...]:
        """Return the phrases normalised; each of them can be encoded."""
        if self._phrases is None:
            raise TaskNotOffered(f"{self._name} has no text encoder")
        if not phrases:
            raise UnusablePhrase("the task `ground` needs a phrase, but `phrase` is missing")
        if len(phrases) > self._limits.max_phrases:
            raise UnusablePhrase(f"at most {self._limits.max_phrases} phrases in one request")
        normalised = tuple(normalise(text, self._limits.max_phrase_chars) for text in phrases)
        for phrase in normalised:
            self._phrases.tokenize(phrase)
        return normalised

"""The five questions about radiographs, the same for a model in this process and for a service.

classify | segment | detect | ground | analyze --Question--> `_one` or `_many` of a subclass
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args, overload

from g2d.results import Result
from g2d.sources import Source, one_of

TaskName = Literal["classify", "segment", "detect", "ground"]
Method = Literal["aligned", "zero_shot"]
HeatmapForm = Literal["png", "float", "none"]
Many = Iterable[Source]


@dataclass(frozen=True)
class Question:
    """Question about each radiograph.

    Attributes:
        endpoint: last part of the path of the service.
        tasks: tasks to answer; empty means all that the version offers, `ground` with phrases only.
        phrases: phrases to locate.
        method: grounding method; None for the first one that the version offers.
        heatmap: form of heat maps in the JSON.
        uncertainty: also say how far each result holds under harmless changes.
    """

    endpoint: str
    tasks: tuple[TaskName, ...] = ()
    phrases: tuple[str, ...] = ()
    method: Method | None = None
    heatmap: HeatmapForm = "png"
    uncertainty: bool = False

    @classmethod
    def of(cls, task: TaskName) -> "Question":
        """Return the question that asks for one task without a phrase."""
        return cls(task, (task,))

    @classmethod
    def about(
        cls,
        endpoint: Literal["ground", "analyze"],
        tasks: Iterable[TaskName],
        phrases: str | Iterable[str],
        method: Method | None,
        heatmap: HeatmapForm,
    ) -> "Question":
        """Return the question with phrases; a single one may be a plain string.

        Raises:
            ValueError: a task has another name than those of `TaskName`.
        """
        chosen = tuple(tasks)
        several = (phrases,) if isinstance(phrases, str) else tuple(phrases)
        if unknown := set(chosen) - set(get_args(TaskName)):
            raise ValueError(f"no task {min(unknown)!r}; tasks are {', '.join(get_args(TaskName))}")
        return cls(endpoint, chosen, several, method, heatmap)


class Answers(ABC):
    """Answers questions about one radiograph, or about many one after the other.

    Every method takes a path, the bytes of a file or a file that is open for reading bytes, and
    returns its `Result`; or an iterable of these, and returns an iterator that answers lazily and
    in order, with a progress bar on a terminal (`progress=False` for none, `True` for one anyway).

    Raises:
        InputError: a radiograph or a phrase is at fault; a note of the error names the file.
        ModelError: the version does not offer a task, or gives output that cannot be used.
        ServiceError: the question was right, but the service or the hardware failed.
        OSError: a file cannot be read.
    """

    @abstractmethod
    def _one(self, question: Question, source: Source) -> Result:
        """Answer a question about one radiograph."""

    @abstractmethod
    def _each(self, question: Question, sources: Many) -> Iterator[Result]:
        """Answer a question about each radiograph, in order."""

    def _ask(
        self, question: Question, source: Source | Many, progress: bool | None
    ) -> Result | Iterator[Result]:
        one = one_of(source)
        if one is not None:
            return self._one(question, one)
        several = cast("Many", source)
        return shown(self._each(question, several), several, progress)

    @overload
    def classify(self, source: Source) -> Result: ...  # type: ignore[overload-overlap] # a str is one
    @overload
    def classify(self, source: Many, *, progress: bool | None = None) -> Iterator[Result]: ...
    def classify(
        self, source: Source | Many, *, progress: bool | None = None
    ) -> Result | Iterator[Result]:
        """Give findings with calibrated probabilities (`Result.findings`)."""
        return self._ask(Question.of("classify"), source, progress)

    @overload
    def segment(self, source: Source) -> Result: ...  # type: ignore[overload-overlap] # as above
    @overload
    def segment(self, source: Many, *, progress: bool | None = None) -> Iterator[Result]: ...
    def segment(
        self, source: Source | Many, *, progress: bool | None = None
    ) -> Result | Iterator[Result]:
        """Give masks of structures, and what is measured in them."""
        return self._ask(Question.of("segment"), source, progress)

    @overload
    def detect(self, source: Source) -> Result: ...  # type: ignore[overload-overlap] # as above
    @overload
    def detect(self, source: Many, *, progress: bool | None = None) -> Iterator[Result]: ...
    def detect(
        self, source: Source | Many, *, progress: bool | None = None
    ) -> Result | Iterator[Result]:
        """Give boxes around findings and structures, best first."""
        return self._ask(Question.of("detect"), source, progress)

    @overload
    def ground(  # type: ignore[overload-overlap] # as above
        self,
        source: Source,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
    ) -> Result: ...
    @overload
    def ground(
        self,
        source: Many,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        progress: bool | None = None,
    ) -> Iterator[Result]: ...
    def ground(
        self,
        source: Source | Many,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        progress: bool | None = None,
    ) -> Result | Iterator[Result]:
        """Locate one phrase or several: heat map, peak and boxes, or "not found"."""
        question = Question.about("ground", ("ground",), phrases, method, heatmap)
        return self._ask(question, source, progress)

    @overload
    def analyze(  # type: ignore[overload-overlap] # as above
        self,
        source: Source,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
    ) -> Result: ...
    @overload
    def analyze(
        self,
        source: Many,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
        progress: bool | None = None,
    ) -> Iterator[Result]: ...
    def analyze(
        self,
        source: Source | Many,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
        progress: bool | None = None,
    ) -> Result | Iterator[Result]:
        """Perform several tasks at once; by default all that the version offers.

        With `uncertainty`, each result also says how far it holds under harmless changes of the
        radiograph, at eight times the cost.
        """
        question = Question.about("analyze", tasks, phrases, method, heatmap)
        question = replace(question, uncertainty=uncertainty)
        return self._ask(question, source, progress)


def shown(results: Iterator[Result], sources: Many, progress: bool | None) -> Iterator[Result]:
    """Return the same results with a progress bar, where tqdm (extra `client`) is installed.

    Args:
        results: one for each source.
        sources: the radiographs; their number is shown if they have a length.
        progress: show the bar always or never; None on a terminal only.
    """
    if progress is False:
        return results
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return results
    total = len(sources) if isinstance(sources, Sized) else None
    hidden = False if progress else None  # None: shown on a terminal only
    bar: Iterable[Result] = tqdm(results, total=total, unit=" radiographs", disable=hidden)
    return iter(bar)

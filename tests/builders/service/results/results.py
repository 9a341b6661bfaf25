"""Results without an image or a model."""

from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts
from service.inference.results import AnalysisResult, ModelIdentity


def result(**answers: object) -> AnalysisResult:
    """Return a result of version 1 with the given outputs."""
    return AnalysisResult(
        model=ModelIdentity("tiny", 1, "0" * 64),
        preprocess=PreprocessSpec(),
        image=ImageFacts(rows=4, columns=4),
        warnings=(),
        out_of_domain=None,
        timings_ms={},
        **answers,  # type: ignore[arg-type]
    )

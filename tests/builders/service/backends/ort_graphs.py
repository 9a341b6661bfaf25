"""Graphs in ONNX Runtime on the CPU, in one thread unless a test asks for more."""

from service.backends.ort.graph import GraphCache
from service.backends.ort.session import OrtOptions
from service.settings import RuntimeSettings


def graph_cache(threads: int = 1, **options: bool) -> GraphCache:
    """Make a cache of graphs, with the options of `OrtOptions` by name."""
    return GraphCache(OrtOptions(RuntimeSettings(threads=threads), **options))

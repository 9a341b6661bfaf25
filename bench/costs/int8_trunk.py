r"""Speed and error of the trunk of a run in int8, with more and more of its parts in float32.

    g2d import-version g2d-cxr stable --out runs/shipped
    python -m bench.costs.int8_trunk runs/shipped --data ../shared/data \
        --trunk models/g2d-cxr/7/trunk.onnx

The choices are those that `g2d export --int8` tries. Each is measured in one run with float32,
image by image in turns, with one thread and with one for each core. The error is the mean
difference of the probabilities of a head from those with the trunk in float32, of the worst head.
Whether a choice may be published, `g2d export --int8` decides on the validation split.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from training.evaluation.trained_model import load_run
from training.export.parity import open_graph
from training.export.variants.answer_errors import AnswerErrors
from training.export.variants.calibration_images import calibration_images
from training.export.variants.quantization import Quantizer
from training.export.variants.sensitivity import choices
from training.metrics.arrays import FloatArray

FLOAT32 = "float32"
HEADER = "| in float32 | threads | fastest, ms | float32, ms | times as fast | largest error |"


def main() -> None:
    """Measure and print a Markdown table."""
    options = _options()
    model = load_run(options.run)
    data = model.config.data.model_copy(update={"root": options.data})
    model = replace(model, config=model.config.model_copy(update={"data": data}))
    images = calibration_images(model, options.images).images
    errors = AnswerErrors(model, open_graph(options.trunk), images)
    graphs: dict[str, bytes] = {FLOAT32: options.trunk.read_bytes()}
    largest: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        quantizer = Quantizer(options.trunk, images, Path(folder))
        for choice in choices(quantizer, errors):
            graph = quantizer.quantize(choice.quantised)
            name = ", ".join(choice.kept) or "nothing"
            graphs[name] = graph.SerializeToString()
            largest[name] = float(errors(graph).max())
    print(f"{HEADER}\n|---|---|---|---|---|---|")
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        taken = in_turns(graphs, images[0][np.newaxis], threads, options.rounds)
        for name, error in largest.items():
            fastest, float32 = min(taken[name]), min(taken[FLOAT32])
            figures = f"{fastest:.1f} | {float32:.1f} | {float32 / fastest:.2f} | {error:.4f}"
            print(f"| {name} | {threads} | {figures} |")


def in_turns(
    graphs: dict[str, bytes], image: FloatArray, threads: int, rounds: int
) -> dict[str, list[float]]:
    """Return the milliseconds of each round of each graph.

    Args:
        graphs: graphs by name.
        image: 1 x 1 x S x S.
        threads: threads of each graph.
        rounds: number of rounds; in each, every graph runs once.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    providers = ["CPUExecutionProvider"]
    sessions = {
        name: onnxruntime.InferenceSession(graph, settings, providers=providers)
        for name, graph in graphs.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"image": image})
            taken[name].append((time.perf_counter() - start) * 1e3)
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--trunk", type=Path, required=True, help="its exported trunk")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--images", type=int, default=100, help="images that set the ranges")
    parser.add_argument("--rounds", type=int, default=100, help="measured rounds")
    return parser.parse_args()


if __name__ == "__main__":
    main()

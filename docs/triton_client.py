"""Ask Triton alone for the findings of a radiograph, with the probabilities of the service.

    python docs/triton_client.py chest.dcm --url 127.0.0.1:8001 --model g2d-cxr-classify

Needs the packages g2d-radiograph[dicom] and tritonclient[grpc].
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from radiograph.preprocess import PreprocessSpec, normalise, to_input
from radiograph.readers.read import read


def findings(data: bytes, url: str, model: str) -> dict[str, tuple[float, float]]:
    """Return probability and threshold of each label that is not withheld."""
    client = InferenceServerClient(url)
    config = client.get_model_config(model, as_json=True)["config"]
    about = {key: value["string_value"] for key, value in config["parameters"].items()}
    spec = PreprocessSpec.model_validate_json(about["preprocess"])
    (head,) = (json.loads(text) for key, text in about.items() if key.startswith("head."))

    image = normalise(to_input(read(data), spec).grid, spec)[None, None]  # 1 x 1 x size x size
    tensor = InferInput("image", list(image.shape), "FP32")
    tensor.set_data_from_numpy(image)
    logits = client.infer(model, [tensor]).as_numpy("logits")[0]  # one for each label
    probabilities = 1 / (1 + np.exp(-logits / head["temperature"]))
    return {
        label["name"]: (float(probability), label["threshold"])
        for label, probability in zip(head["labels"], probabilities, strict=True)
        if label["threshold"] < 1
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="127.0.0.1:8001")
    parser.add_argument("--model", default="g2d-cxr-classify")
    options = parser.parse_args()
    found = findings(options.file.read_bytes(), options.url, options.model)
    for name, (probability, threshold) in found.items():
        sys.stdout.write(f"{name}: {probability:.3f} (threshold {threshold:.3f})\n")

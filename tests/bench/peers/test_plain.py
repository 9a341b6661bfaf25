from pathlib import Path

from bench.inputs import prepare
from bench.peers.plain import Model, tensor
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import read


def test_peers_make_the_same_tensor_as_the_service(tmp_path: Path) -> None:
    spec = PreprocessSpec()
    model = Model(Path(), "", (), 1, spec.size_px, spec.mean, spec.std, 0.5, 99.5)
    for path in prepare(tmp_path, []).small:
        data = path.read_bytes()
        ours, _ = preprocess(read(data), spec)
        assert abs(tensor(data, model) - ours).max() < 1e-3

import json
from pathlib import Path

import pytest

from bench import options, report
from bench.checks import at_most, none_of
from bench.inputs import prepare
from bench.machine import cpu_model
from bench.peers.plain import Model, tensor
from bench.report import OURS, SINGLE
from bench.servers.subjects import multipart, v2_request
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import read


def record(rate: float, alone_ms: float | None) -> dict[str, object]:
    times = dict.fromkeys(("alone_ms", "p50_ms", "p95_ms", "p99_ms"), alone_ms)
    return {
        "setting": "2 threads",
        "rate": rate,
        "rates": [rate - 1, rate + 1],
        **times,
        "failed": 0,
        "lag_p99_ms": 1.0,
        "agreement": 0.001,
    }


FIGURES = {
    "at": 1_790_000_000.0,
    "took_s": 600.0,
    "command": "python bench/service.py",
    "machine": {
        "cpu": "A processor",
        "usable_cores": 2,
        "memory_gib": 24,
        "system": "Linux x86_64",
        "python": "3.11.9",
        "versions": {"numpy": "2.4"},
    },
    "model": {"name": "m", "version": 1, "digest": "d" * 64},
    "inputs": "made up",
    "threads": 2,
    "compare": {
        "clients": 16,
        "rounds": 2,
        "seconds": 1.0,
        "subjects": {SINGLE: record(30, None), OURS: record(29, 40.0)},
        "ratios": {SINGLE: {"median": 0.97, "low": 0.9, "high": 1.0}},
        "missing": {"LitServe": "no environment"},
    },
    "checks": [at_most("a | b", 2.0, 1.0, "ms").to_json(), none_of("c", "loss", 0, 9).to_json()],
}


def test_every_part_of_the_template_is_filled() -> None:
    page = report.markdown(FIGURES, "benchmark.svg")
    assert "{{" not in page
    assert "![Throughput and latency](benchmark.svg)" in page
    assert "| bare runtime, single | 2 threads | 30.0 (29.0 to 31.0) | 0.97 (0.90 to 1.00)" in page
    assert "LitServe was not compared: no environment" in page
    assert "**not held**" in page
    assert "a \\| b" in page


def test_figures_are_json() -> None:
    assert json.loads(json.dumps(FIGURES))["compare"]["subjects"][OURS]["rate"] == 29


def test_write_puts_plot_and_figures_beside_the_page() -> None:
    read = options.read("", ["--write", "docs/benchmark.md", "--only", "swaps,compare"])
    assert read.plot == Path("docs/benchmark.svg")
    assert read.json == Path("docs/benchmark.json")
    assert read.only == ("swaps", "compare")


@pytest.mark.parametrize("wrong", [["--only", "nothing"], ["--setting", "PATH=/"]])
def test_what_is_not_known_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.read("", wrong)
    assert "not known" in (said := capsys.readouterr().err) or "G2D_NAME=VALUE" in said


def test_made_up_inputs_are_radiographs_that_differ(tmp_path: Path) -> None:
    inputs = prepare(tmp_path, [])
    assert len({path.read_bytes() for path in inputs.small}) == len(inputs.small)
    assert read(inputs.small[0].read_bytes()).rows == 512
    assert read(inputs.dicom.read_bytes()).rows == 2500


def test_peers_make_the_same_tensor_as_the_service(tmp_path: Path) -> None:
    spec = PreprocessSpec()
    model = Model(Path(), "", (), 1, spec.size_px, spec.mean, spec.std, 0.5, 99.5)
    for path in prepare(tmp_path, []).small:
        data = path.read_bytes()
        ours, _ = preprocess(read(data), spec)
        assert abs(tensor(data, model) - ours).max() < 1e-3


def test_an_option_that_is_given_goes_before_quick() -> None:
    read = options.read("", ["--quick", "--swaps", "8"])
    assert (read.swaps, read.rounds) == (8, 1)


def test_bodies_of_peers_hold_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"\xff\xd8bytes")
    assert b"\r\n\r\n\xff\xd8bytes\r\n--" in multipart(path)
    assert json.loads(v2_request(path))["inputs"][0]["data"] == ["/9hieXRlcw=="]


def test_the_processor_is_named(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A processor\nmodel name\t: B\n")
    assert cpu_model(cpuinfo) == "A processor"
    assert cpu_model(tmp_path / "absent")

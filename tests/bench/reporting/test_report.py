import json
from pathlib import Path

from bench import options
from bench.reporting import report
from bench.reporting.checks import at_most, none_of
from bench.reporting.report import OURS, SINGLE


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
    "decoding": {
        "megapixels": 5.12,
        "look_up_ms": 8.0,
        "columns": ["read", "preprocess", "both", "both / look-up"],
        "rows": {"version 2": [4.0, 5.0, 9.0, 1.125]},
    },
    "encoders": {
        "width": 1678,
        "height": 2048,
        "columns": ["ms", "MB", "ms / libdeflate"],
        "rows": {"image/png": [20.0, 2.75, 0.4]},
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
    assert "took 8.0 ms" in page
    assert "A picture of 1678 x 2048 px" in page
    assert "| image/png | 20.0 | 2.75 | 0.40 |" in page
    assert "| version 2 | 4.0 | 5.0 | 9.0 | 1.12 |" in page


def test_figures_are_json() -> None:
    assert json.loads(json.dumps(FIGURES))["compare"]["subjects"][OURS]["rate"] == 29


def test_write_puts_plot_and_figures_next_to_the_page() -> None:
    read = options.read("", ["--write", "docs/benchmark.md", "--only", "swaps,compare"])
    assert read.plot == Path("docs/benchmark.svg")
    assert read.json == Path("docs/benchmark.json")
    assert read.only == ("swaps", "compare")

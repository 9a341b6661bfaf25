from bench.scenarios import single_client
from bench.scenarios.timed_client import Sample


def test_overhead_leaves_decoding_and_model_out() -> None:
    stages = {"read": 5.0, "preprocess": 10.0, "trunk": 40.0, "heads": 1.0, "encode": 0.5}
    sample = Sample(60.0, {**stages, "total": 58.5})
    assert sample.overhead_ms == 2.5
    check = single_client.overhead({"classify": [sample], "segment": [sample]})
    assert check.held
    assert check.measured == "2.50 ms"


def test_all_tasks_together_are_compared_with_the_slowest_task() -> None:
    totals = {"classify": 50.0, "segment": 80.0, "detect": 52.0, "ground": 55.0, "analyze": 88.0}
    totals["image alone"] = 82.0
    samples = {name: [Sample(ms, {"total": ms})] for name, ms in totals.items()}
    check = single_client.everything(samples)
    assert check.measured.startswith("1.10")
    assert "/segment" in check.note
    phrase = single_client.phrase(samples)
    assert phrase.held
    assert phrase.measured.startswith("1.07")

from bench.reporting import checks
from bench.reporting.report import BEST, TORCH


def test_a_peer_that_did_not_take_part_is_not_measured_and_not_passed() -> None:
    good = {"median": 0.97, "low": 0.9, "high": 1.0}
    compared = {"clients": 16, "rounds": 5, "ratios": {BEST: good}, "missing": {TORCH: "no torch"}}
    bare, torch = checks.from_comparison(compared)
    assert bare.held
    assert torch.held is None
    assert torch.note == "no torch"

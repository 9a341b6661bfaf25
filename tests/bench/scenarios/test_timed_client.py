from bench.scenarios.timed_client import Sample


def test_columns_and_rest_add_up_to_the_total() -> None:
    sample = Sample(10.0, {"read": 1.0, "trunk": 5.0, "unknown": 2.0, "total": 9.0})
    assert sum(sample.columns()) == 9.0
    assert sample.columns()[-1] == 3.0

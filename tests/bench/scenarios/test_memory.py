from bench.scenarios.memory import flat


def test_growing_memory_is_not_flat() -> None:
    assert flat("memory", [100.0] * 20).held
    assert flat("memory", [100.0 + i for i in range(20)]).held is False

from pathlib import Path

from bench.reporting.machine import cpu_model


def test_the_processor_is_named(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A processor\nmodel name\t: B\n")
    assert cpu_model(cpuinfo) == "A processor"
    assert cpu_model(tmp_path / "absent")

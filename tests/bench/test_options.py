import pytest

from bench import options


@pytest.mark.parametrize("wrong", [["--only", "nothing"], ["--setting", "PATH=/"]])
def test_unknown_parts_peers_and_settings_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options.read("", wrong)
    assert "not known" in (said := capsys.readouterr().err) or "G2D_NAME=VALUE" in said


def test_an_explicit_option_takes_precedence_over_quick() -> None:
    read = options.read("", ["--quick", "--swaps", "8"])
    assert (read.swaps, read.rounds) == (8, 1)

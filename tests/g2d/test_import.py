"""`import g2d` is light: what is needed is imported when it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import g2d

ROOT = Path(__file__).parents[2]


def test_the_import_loads_neither_a_runtime_nor_numpy() -> None:
    program = "import sys; before = set(sys.modules); import g2d; print(*set(sys.modules) - before)"
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "g2d" in loaded
    assert loaded - set(sys.stdlib_module_names) == {"g2d"}


@pytest.mark.parametrize("name", g2d.__all__)
def test_every_name_that_is_offered_exists(name: str) -> None:
    assert getattr(g2d, name).__name__.rpartition(".")[2] == name
    assert name in dir(g2d)


def test_another_name_is_refused_as_any_module_does() -> None:
    with pytest.raises(AttributeError, match="module 'g2d' has no attribute 'segment'"):
        g2d.segment  # type: ignore[attr-defined] # noqa: B018 - the access is the test


def test_a_client_without_httpx_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(g2d), "Client", raising=False)
    for name in [name for name in sys.modules if name.startswith(("g2d.client", "httpx"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'g2d-radiograph\[client\]'"):
        g2d.Client  # noqa: B018 - the access is the test

"""docs/tutorial.ipynb runs from the first cell to the last, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/tutorial.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    assert len(cells) >= 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.filterwarnings("default")  # those of the kernel's libraries are not ours
def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(ROOT)}}
    done = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    shown = [
        out.data["text/plain"] for c in done.cells for out in c.get("outputs", []) if "data" in out
    ]
    assert "g2d-cxr" in shown[0]
    assert any("True" in text for text in shown)  # the lung was found

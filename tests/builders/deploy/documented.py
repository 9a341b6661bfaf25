"""Generator of the tables of settings and metrics in docs/operations.md.

python -m tests.builders.deploy.documented    rewrites them after a setting or metric has changed
"""

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from pydantic.fields import FieldInfo

from service.settings import MIB, OPTIONS, PREFIX, Settings
from tests.builders.deploy import promql

PAGE = Path(__file__).parents[3] / "docs/operations.md"


def page(text: str) -> str:
    """Return the page with its tables generated anew."""
    for name, table in {"settings": settings_table(), "metrics": metrics_table()}.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}{table}{end}{after}"
    return text


def settings_table() -> str:
    """Return the table of every setting: variable, default and meaning."""
    groups = {name: type(group) for name, group in Settings()}
    texts = {name: _attribute_docs(group) for name, group in groups.items()}
    rows = [
        (
            f"`{PREFIX}{option.upper()}`",
            _default(option, groups[group].model_fields[field]),
            texts[group][field],
        )
        for option, (group, field) in OPTIONS.items()
    ]
    return _table(("Variable", "Default", "Meaning"), rows)


def metrics_table() -> str:
    """Return the table of every metric of ours: name, type, labels and meaning."""
    rows = [
        (f"`{_queried(family)}`", family.type, ", ".join(_labels(family)), family.documentation)
        for family in promql.filled().registry.collect()
        if family.name.startswith("g2d_")
    ]
    return _table(("Metric", "Type", "Labels", "Meaning"), rows)


def _queried(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> list[str]:
    names = [name for sample in family.samples for name in sample.labels]
    return [name for name in dict.fromkeys(names) if name != "le"]


def _default(name: str, field: FieldInfo) -> str:
    """Return the default of a field as an operator would write it."""
    if field.default_factory not in (None, dict, list, tuple):
        return "by the machine"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("_bytes") and isinstance(value, int) and value % MIB == 0:
        return f"`{value}` ({value // MIB} MiB)"
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def _attribute_docs(model: type) -> dict[str, str]:
    """Return the docstring below each field, on one line."""
    (body,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(titles)]
    lines += [("---",) * len(lines[0])]
    lines += [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))

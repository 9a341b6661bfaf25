"""Configurations are read in a process that has not imported torch."""

import json
import subprocess
import sys

_PROGRAM = """
import importlib, json, pkgutil, sys
import training.config
names = [module.name for module in pkgutil.iter_modules(training.config.__path__)]
for name in names:
    importlib.import_module(f"training.config.{name}")
heavy = [name for name in ("torch", "transformers", "lightning") if name in sys.modules]
print(json.dumps([names, heavy]))
"""


def test_no_module_of_the_configuration_imports_torch() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    )
    names, heavy = json.loads(result.stdout)
    assert {"engine", "files", "finetune", "model", "pretrain", "run"} <= set(names)
    assert heavy == []

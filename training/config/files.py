"""Configurations in YAML files, named by their path or by the name of a shipped one.

name or path --find--> YAML --key=value changes--> RunConfig or TablesConfig
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from training.config.experiments import TablesConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig

CONFIGS = Path(__file__).parents[1] / "configs"
"""Folder of the shipped configurations."""
RunConfig = Annotated[PretrainConfig | FinetuneConfig, Field(discriminator="kind")]
"""Configuration of either kind of run, told apart by `kind`."""
_UNION_TAGS = {"run", "pretrain", "finetune", "affine", "paper", "released", "none", "crop"}
_UNION_TAGS |= {"shift_scale_rotate"}
"""Members of the locations that pydantic reports which are no keys of the YAML."""

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


class _Run(BaseModel):
    run: RunConfig


def is_configuration(name: str | Path) -> bool:
    """Return whether `find` finds a YAML of this name."""
    return Path(name).is_file() or (CONFIGS / f"{name}.yaml").is_file()


def find(name: str | Path) -> Path:
    """Return the path of a YAML from its path, or from the name of a shipped configuration.

    Raises:
        FileNotFoundError: there is neither; the message lists the shipped names.
    """
    shipped = CONFIGS / f"{name}.yaml"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise FileNotFoundError(f"no configuration {name!s}; shipped are: {names}")


def load(name: str | Path, kind: type[Config], changes: Sequence[str] = ()) -> Config:
    """Load and validate the configuration of one kind of run.

    Args:
        name: path of a YAML, or name of a shipped one.
        kind: class of the configuration.
        changes: `key=value` strings, as `load_any` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the file configures another kind of run.
        ValueError: a change is not of the form `key=value`.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    run = load_any(name, changes)
    if not isinstance(run, kind):
        raise TypeError(f"{name} configures a {run.kind} run")
    return run


def load_tables(name: str | Path) -> TablesConfig:
    """Load and validate the configuration of experiment tables.

    Raises:
        FileNotFoundError: there is no such file.
        pydantic.ValidationError: the kind is another, a key or a name is unknown, or a value out
            of range.
    """
    return TablesConfig.model_validate(yaml.safe_load(find(name).read_text()))


def load_any(name: str | Path, changes: Sequence[str] = ()) -> PretrainConfig | FinetuneConfig:
    """Load and validate the configuration of a run of either kind.

    Args:
        name: path of a YAML, or name of a shipped one.
        changes: `key=value` strings; nested keys are joined by dots (`model.projection_dim=256`),
            values are YAML. The result is validated like a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a change is not of the form `key=value`.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    keys = yaml.safe_load(find(name).read_text())
    for change in changes:
        _change(keys, change)
    return _Run.model_validate({"run": keys}).run


def changed(config: Config, changes: Sequence[str]) -> Config:
    """Return a validated copy with some keys changed; `changes` are those of `load_any`."""
    keys = config.model_dump(mode="json")
    for change in changes:
        _change(keys, change)
    return type(config).model_validate(keys)


def _change(keys: dict[str, Any], change: str) -> None:
    """Set one key of a parsed YAML."""
    path, equals, text = change.partition("=")
    *parents, last = path.strip().split(".")
    if not equals or not all([*parents, last]):
        raise ValueError(f"{change!r} is not of the form key=value, as in threshold=gmm")
    for parent in parents:
        keys = keys.setdefault(parent, {})
        if not isinstance(keys, dict):
            raise ValueError(f"{change!r}: {parent} is a value and has no keys")
    try:
        keys[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{change!r}: {text!r} is not YAML") from error


def describe_error(error: ValueError) -> str:
    """Return the message of an invalid configuration, with one line for each invalid key."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "\n".join(f"{_key(found['loc'])}: {found['msg']}" for found in error.errors())


def _key(location: Sequence[int | str]) -> str:
    """Return the dotted key of a pydantic location."""
    keys = [str(key) for key in location if key not in _UNION_TAGS]
    return ".".join(keys) or "configuration"

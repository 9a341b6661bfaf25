"""Configurations as YAML files: by path, or by name among those that we ship."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from training.config.ablation import AblationConfig
from training.config.experiments import TablesConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig

CONFIGS = Path(__file__).parents[1] / "configs"

RunConfig = Annotated[PretrainConfig | FinetuneConfig, Field(discriminator="kind")]


class _Run(BaseModel):
    run: RunConfig


Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


def is_configuration(name: str | Path) -> bool:
    """Whether `find` finds a YAML of this name."""
    return Path(name).is_file() or (CONFIGS / f"{name}.yaml").is_file()


def find(name: str | Path) -> Path:
    """A YAML by its path, or by its name among the configurations that we ship.

    Raises:
        FileNotFoundError: neither is there; the message lists the shipped names.
    """
    shipped = CONFIGS / f"{name}.yaml"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise FileNotFoundError(f"no configuration {name!s}; shipped are: {names}")


def load(name: str | Path, kind: type[Config], changes: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Args:
        name: path of a YAML, or name of a shipped one.
        kind: of run.
        changes: `key=value` each, as `load_any` takes them.

    Raises:
        FileNotFoundError: it is not there.
        TypeError: it configures another kind of run.
        ValueError: a change is not of the form `key=value`.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    run = load_any(name, changes)
    if not isinstance(run, kind):
        raise TypeError(f"{name} configures a {run.kind} run")
    return run


def load_ablation(name: str | Path) -> AblationConfig:
    """Read and check the configuration of an ablation.

    Raises:
        FileNotFoundError: it is not there.
        pydantic.ValidationError: it is of another kind, a key is unknown, a value out of range.
    """
    return AblationConfig.model_validate(yaml.safe_load(find(name).read_text()))


def load_tables(name: str | Path) -> TablesConfig:
    """Read and check the recipes of the paper's tables.

    Raises:
        FileNotFoundError: they are not there.
        pydantic.ValidationError: of another kind, a key or a name is unknown, a value out of range.
    """
    return TablesConfig.model_validate(yaml.safe_load(find(name).read_text()))


def load_any(name: str | Path, changes: Sequence[str] = ()) -> PretrainConfig | FinetuneConfig:
    """Read and check a configuration of any kind.

    Args:
        name: path of a YAML, or name of a shipped one.
        changes: `key=value` each; keys of a part are joined by dots (`model.projection_dim=256`),
            values are YAML. What comes out is checked as a file would be.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: a change is not of the form `key=value`.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    keys = yaml.safe_load(find(name).read_text())
    for change in changes:
        _change(keys, change)
    return _Run.model_validate({"run": keys}).run


def changed(config: Config, changes: Sequence[str]) -> Config:
    """A configuration with some keys changed, as `load_any` takes them, and checked again."""
    keys = config.model_dump(mode="json")
    for change in changes:
        _change(keys, change)
    return type(config).model_validate(keys)


def _change(keys: dict[str, Any], change: str) -> None:
    """Set one key of a parsed YAML."""
    path, equals, text = change.partition("=")
    *parts, last = path.strip().split(".")
    if not equals or not all([*parts, last]):
        raise ValueError(f"{change!r} is not of the form key=value, as in threshold=gmm")
    for part in parts:
        keys = keys.setdefault(part, {})
        if not isinstance(keys, dict):
            raise ValueError(f"{change!r}: {part} is a value and has no keys")
    try:
        keys[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{change!r}: {text!r} is not YAML") from error


def told(error: ValueError) -> str:
    """What is wrong with a configuration, one line for each key."""
    if not isinstance(error, ValidationError):
        return str(error)
    # of unions, not keys
    kinds = {"run", "pretrain", "finetune", "affine", "paper", "released", "none"}
    return "\n".join(
        f"{'.'.join(str(key) for key in at['loc'] if key not in kinds) or 'configuration'}: "
        f"{at['msg']}"
        for at in error.errors()
    )

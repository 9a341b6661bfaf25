"""Configurations in YAML files, named by their path or by the name of a shipped one.

name or path --find--> YAML --key=value changes--> RunConfig or TablesConfig
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from training.config.experiments import TablesConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.refusal import RunRefused

CONFIGS = Path(__file__).parents[1] / "configs"
"""Folder of the shipped configurations."""
RunConfig = Annotated[PretrainConfig | FinetuneConfig, Field(discriminator="kind")]
"""Configuration of either kind of run, told apart by `kind`."""
_UNION_TAGS = {"run", "pretrain", "finetune", "affine", "paper", "released", "none", "crop"}
_UNION_TAGS |= {"shift_scale_rotate"}
"""Members of the locations that pydantic reports which are no keys of the YAML."""

_SCHEMAS: dict[str, type[BaseModel]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "tables": TablesConfig,
}

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


class _Run(BaseModel):
    run: RunConfig


def is_configuration(name: str | Path) -> bool:
    """Return whether `find` finds a YAML of this name."""
    return Path(name).is_file() or (CONFIGS / f"{name}.yaml").is_file()


def find(name: str | Path) -> Path:
    """Return the path of a YAML from its path, or from the name of a shipped configuration.

    Raises:
        RunRefused: there is neither, and the message lists the shipped names; or the path is
            that of a folder.
    """
    shipped = CONFIGS / f"{name}.yaml"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    if Path(name).is_dir():
        raise RunRefused(f"{name} is a folder; a configuration is a YAML file")
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise RunRefused(f"no configuration {name!s}; shipped are: {names}")


def load(name: str | Path, kind: type[Config], changes: Sequence[str] = ()) -> Config:
    """Load and validate the configuration of one kind of run.

    Args:
        name: path of a YAML, or name of a shipped one.
        kind: class of the configuration.
        changes: `key=value` strings, as `load_any` takes them.

    Raises:
        RunRefused: there is no such file, it configures another kind of run, or is not valid.
    """
    run = load_any(name, changes)
    if not isinstance(run, kind):
        raise RunRefused(f"{name} configures a {run.kind} run: g2d {run.kind} {name}")
    return run


def load_tables(name: str | Path) -> TablesConfig:
    """Load and validate the configuration of experiment tables.

    Raises:
        RunRefused: there is no such file, or it configures a run.
        pydantic.ValidationError: a key or a name is unknown, or a value out of range.
    """
    keys = _read(find(name))
    if keys.get("kind") in ("pretrain", "finetune"):
        raise RunRefused(f"{name} configures a {keys['kind']} run, not tables of experiments")
    return TablesConfig.model_validate(keys)


def load_any(name: str | Path, changes: Sequence[str] = ()) -> PretrainConfig | FinetuneConfig:
    """Load and validate the configuration of a run of either kind.

    Args:
        name: path of a YAML, or name of a shipped one.
        changes: `key=value` strings; nested keys are joined by dots (`model.projection_dim=256`),
            values are YAML. The result is validated like a file.

    Raises:
        RunRefused: there is no such file, it is not YAML, a change is not of the form `key=value`,
            a key is unknown or a value out of range; the message is one line.
    """
    keys = _read(find(name))
    for change in changes:
        _change(keys, change)
    if endless := [key for key, value in _values(keys) if not math.isfinite(value)]:
        raise RunRefused(f"{name}: {', '.join(endless)}: Input should be a finite number")
    try:
        return _Run.model_validate({"run": keys}).run
    except ValidationError as error:
        raise RunRefused(f"{name}: " + describe_error(error).replace("\n", "; ")) from error


def _read(path: Path) -> dict[str, Any]:
    """Return the keys of a YAML file.

    Raises:
        RunRefused: the file is not YAML, or not a mapping; the message names the line.
    """
    try:
        keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RunRefused(f"{path}{where}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunRefused(f"{path} is not a text file in YAML") from error
    if not isinstance(keys, dict):
        raise RunRefused(f"{path} holds no keys; a configuration is a mapping of keys to values")
    return keys


def _values(keys: object, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every floating-point value of a parsed YAML with its dotted key."""
    if isinstance(keys, float):
        yield prefix, keys
    elif isinstance(keys, dict):
        for key, value in keys.items():
            yield from _values(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(keys, list):
        for value in keys:
            yield from _values(value, prefix)


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
        raise RunRefused(f"{change!r} is not of the form key=value, as in threshold=gmm")
    for parent in parents:
        keys = keys.setdefault(parent, {})
        if not isinstance(keys, dict):
            raise RunRefused(f"{change!r}: {parent} is a value and has no keys")
    try:
        keys[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RunRefused(f"{change!r}: {text!r} is not YAML") from error


def describe_error(error: ValueError) -> str:
    """Return the message of an invalid configuration, with one line for each invalid key."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "\n".join(
        f"{_key(found['loc'])}: {found['msg'].removeprefix('Value error, ')}{_suggestion(found)}"
        for found in error.errors()
    )


def _suggestion(found: ErrorDetails) -> str:
    """Return how the value or the key was probably meant, as the end of a message."""
    value = found["input"]
    if found["type"] == "tuple_type" and isinstance(value, str | int | float):
        return f"; a list is written [{value}]"
    if found["type"] == "string_type" and isinstance(value, bool):
        return "; YAML reads yes, no, on and off as true and false: put them in quotation marks"
    if found["type"] == "string_type" and isinstance(value, int | float):
        return f'; put numbers in quotation marks, as in "{value}"'
    kinds = [str(part) for part in found["loc"] if part in _SCHEMAS]
    if found["type"] != "extra_forbidden" or not kinds:
        return ""
    meant = nearest_key(_SCHEMAS[kinds[0]], _key(found["loc"]))
    return f"; did you mean {meant}?" if meant else ""


def _key(location: Sequence[int | str]) -> str:
    """Return the dotted key of a pydantic location."""
    keys = [str(key) for key in location if key not in _UNION_TAGS]
    return ".".join(keys) or "configuration"


def nearest_key(schema: type[BaseModel], key: str) -> str | None:
    """Return the dotted key of a schema that is spelt most like `key`, if one is similar."""
    keys = list(dict.fromkeys(_keys(schema)))
    parent, _, last = key.rpartition(".")
    siblings = [known for known in keys if known.rpartition(".")[0] == parent]
    same_part = [known for known in keys if known.rpartition(".")[2] == last]
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
    named = difflib.get_close_matches(last, [k.rpartition(".")[2] for k in siblings], n=1)
    near = [known for known in siblings if named and known.rpartition(".")[2] == named[0]]
    return next(iter([*near, *same_part, *close]), None)


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation, also those in a union or under `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)

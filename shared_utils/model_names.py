"""From a model's name to the place it is loaded from, checked before anything heavy is imported."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared_utils.errors import DataValidationError, LLMToolkitError, SecurityError
from shared_utils.model_files import check_model_files, read_safetensors_header

STARTER = "starter"
STARTER_DIR = Path(__file__).resolve().parent.parent / "starter_model" / "files"
STARTER_NOTICE = (
    "starter is a tiny built-in model for trying the tool; for real work take a real one, "
    "for example Qwen/Qwen2.5-0.5B-Instruct"
)
HUB_ADDRESS = ("huggingface.co", 443)
HUB_TIMEOUT_SECONDS = 2.0
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z")


@dataclass(frozen=True)
class ModelLocation:
    """Where a model is: `source` is what the libraries load, a folder or a hub name."""

    name: str
    source: str
    kind: Literal["model", "adapter", "hub"]
    base: str | None = None  # of an adapter: the name of the model under it

    @property
    def is_local(self) -> bool:
        """Whether nothing has to come from a hub."""
        return self.kind != "hub"


def locate_model(name: str | Path) -> ModelLocation:
    """Find a model by name: `starter`, a folder with a model or an adapter, or a hub name.

    Raises:
        DataValidationError: the folder holds no model, or the name is none.
        SecurityError: the only weights are in a pickle file.
        LLMToolkitError: a hub name that is neither cached nor reachable.
    """
    text = str(name)
    if text == STARTER:
        return ModelLocation(STARTER, str(STARTER_DIR), "model")
    path = Path(text).expanduser()
    if path.is_dir():
        return _local_model(text, path)
    if path.exists():
        raise DataValidationError(f"{path} is a file, not a model folder", hint="name the folder that holds it")
    if not _HUB_NAME.match(text):
        raise DataValidationError(f"no model folder at {path}", hint="check the path, or name a hub model or starter")
    if _is_cached(text):
        return ModelLocation(text, text, "hub")
    if not hub_is_reachable():
        raise LLMToolkitError(
            f"the model '{text}' is neither a folder here nor in the local cache, and the model hub cannot be reached",
            hint="check the spelling, connect to the network, or use --model starter",
        )
    return ModelLocation(text, text, "hub")


def locate_base(name: str | Path) -> ModelLocation:
    """Find a model to be trained; an adapter is refused.

    Raises:
        DataValidationError: as `locate_model`, and for an adapter, which is no model by itself.
    """
    location = locate_model(name)
    if location.kind != "adapter":
        return location
    merged = Path(location.source) / "merged"
    instead = f"train on {merged}, or" if (merged / "config.json").is_file() else "merge it first (--merge), or"
    raise DataValidationError(
        f"{location.name} is an adapter of {location.base}, not a model to start from",
        hint=f"{instead} start from its base: --model {location.base}",
    )


def hub_is_reachable() -> bool:
    """Whether a connection to the model hub opens within two seconds."""
    try:
        with socket.create_connection(HUB_ADDRESS, HUB_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def read_json_file(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder, or a `DataValidationError` that names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataValidationError(f"{path} is damaged: {error}", hint="copy the model folder again") from error
    if not isinstance(value, dict):
        raise DataValidationError(f"{path} does not hold a JSON object", hint="copy the model folder again")
    return value


def _local_model(name: str, path: Path) -> ModelLocation:
    if (path / "adapter_config.json").is_file():
        base = str(read_json_file(path / "adapter_config.json").get("base_model_name_or_path") or "")
        _refuse_pickles(path, "adapter_model")
        read_safetensors_header(path / "adapter_model.safetensors")
        return ModelLocation(name, str(path), "adapter", _base_name(path, base))
    if (path / "config.json").is_file():
        config = read_json_file(path / "config.json")
        if "auto_map" in config:
            raise SecurityError(
                f"{path} wants to run its own Python code (auto_map in config.json), which is never done",
                hint="use a model of an architecture that transformers knows",
            )
        _refuse_pickles(path, "model")
        check_model_files(path, config)
        return ModelLocation(name, str(path), "model")
    for part in ("merged", "train"):  # of a pipeline; one of full fine-tuning has nothing to merge
        if (path / part / "config.json").is_file():
            return _local_model(name, path / part)
    if (path / "run.json").is_file() or any(path.glob("checkpoint-*")):
        raise DataValidationError(f"{path} is a run that has not ended", hint=f"go on with: {_resume_command(path)}")
    raise DataValidationError(
        f"{path} holds no model (neither config.json nor adapter_config.json)", hint="name a model or run folder"
    )


def _resume_command(run_dir: Path) -> str:
    """The command that goes on with a run, as its `run.json` keeps it."""
    try:
        return read_json_file(run_dir / "run.json")["command"] + " --resume"
    except (DataValidationError, KeyError, TypeError):
        return f"the command that started it, with --resume --output-dir {run_dir}"


def _base_name(path: Path, base: str) -> str:
    if not base:
        raise DataValidationError(
            f"{path}/adapter_config.json does not name its base model", hint="set base_model_name_or_path in it"
        )
    # A run folder may have moved to a machine where the toolkit lies elsewhere.
    if Path(base) == STARTER_DIR or (not Path(base).exists() and base.endswith("starter_model/files")):
        return STARTER
    return base


def _refuse_pickles(path: Path, stem: str) -> None:
    if any(path.glob(f"{stem}*.safetensors")):
        return
    pickles = sorted([*path.glob("*.bin"), *path.glob("*.pt"), *path.glob("*.pth")])
    if pickles:
        raise SecurityError(
            f"{pickles[0]} is a pickle file, which can run code when it is loaded; it is not read",
            hint="convert the weights to safetensors, or download the safetensors version of this model",
        )
    raise DataValidationError(f"{path} has no weights ({stem}.safetensors)", hint="copy the model folder again")


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)

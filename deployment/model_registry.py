"""ModelRegistry: finished models by name, one JSON file each.

registry/support_bot.json
>>> {"name": "support_bot", "folder": "/home/ann/outputs/lora-20300131", "method": "lora", "base": "starter",
...  "metrics": {"eval_loss": 1.2, "base_eval_loss": 5.9, "steps": 120}, "tags": ["best"],
...  "registered": "2030-01-31T09:30:00+0000", "weights": {"adapter_model.safetensors": "9f2c..."}}
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypedDict

from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.file_utils import sha256_of, write_json_atomic
from shared_utils.model_names import STARTER, STARTER_DIR, locate_model, read_json_file
from shared_utils.path_utils import PathUtils
from shared_utils.run_lock import refuse_if_held
from shared_utils.settings import nearest

DEFAULT_FILE = ".default.json"  # names begin with a letter or digit, so no entry can be called so
FIGURES = ("train_loss", "eval_loss", "eval_perplexity", "base_eval_loss", "records", "steps")


class RegisteredModel(TypedDict):
    """One entry: where a model is, how it was made and what it reached."""

    name: str
    folder: str
    method: str
    base: str | None
    metrics: dict[str, float | None]
    tags: list[str]
    registered: str
    weights: dict[str, str]  # file -> SHA-256


class ModelRegistry:
    """Names for finished models.

    Args:
        folder: of the entries; made when the first one is written.
    """

    def __init__(self, folder: str | Path = "registry") -> None:
        self.folder = Path(folder)

    def check_name(self, name: str, model_dir: str | Path) -> None:
        """Refuse a name under which the model of a folder could not be registered.

        Raises:
            ConfigurationError: the name is malformed or reserved.
            DataValidationError: it is the name of another model.
        """
        PathUtils.checked_name(name, "name of a model")
        if name.casefold() == STARTER:
            raise ConfigurationError("starter is the name of the built-in model", hint="choose another name")
        # Two names that differ in case only would be one file on macOS and Windows.
        taken = next((known for known in self.names() if known.casefold() == name.casefold()), None)
        if taken is not None and (taken != name or Path(self.get(name)["folder"]) != _model_folder(model_dir)):
            raise DataValidationError(
                f"'{taken}' is registered already, for {self.get(taken)['folder']}",
                hint=f"choose another name, or free it: python main.py models remove {taken}",
            )

    def add(self, name: str, model_dir: str | Path, tags: Iterable[str] = ()) -> RegisteredModel:
        """Register the model of a folder; the same folder under the same name is brought up to date.

        Args:
            name: see `PathUtils.checked_name`.
            model_dir: a run folder, a model or an adapter on this machine.
            tags: words to find it by.

        Raises:
            ConfigurationError: the name or a tag is malformed or reserved.
            DataValidationError: the folder holds no finished model, or the name is that of another one.
        """
        self.check_name(name, model_dir)
        location = locate_model(model_dir)
        if location.kind == "hub" or location.name == STARTER:
            raise DataValidationError(f"{model_dir} is no folder with a model", hint="name a run or model folder")
        folder = Path(location.source).resolve()
        earlier = self.get(name)["tags"] if name in self.names() else []
        run = _run_of(folder)
        result: dict[str, Any] = run.get("result") or {}
        entry = RegisteredModel(
            name=name,
            folder=str(folder),
            method=str(result.get("method") or ("adapter" if location.kind == "adapter" else "model")),
            base=run.get("model") or location.base,
            metrics={figure: result[figure] for figure in FIGURES if figure in result},
            tags=_checked_tags([*earlier, *tags]),
            registered=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            weights={path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))},
        )
        self._write(entry)
        return entry

    def names(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json") if not path.name.startswith("."))

    def models(self) -> list[RegisteredModel]:
        """The entries by name; one that is damaged is told and left out."""
        entries = []
        for name in self.names():
            try:
                entries.append(self.get(name))
            except DataValidationError as error:
                logging.getLogger(__name__).warning("%s; %s", error.message, error.hint)
        return entries

    def get(self, name: str) -> RegisteredModel:
        """The entry of a name.

        Raises:
            DataValidationError: there is none, with the nearest names; or its file is damaged.
        """
        names = self.names()
        if name not in names:
            guess = nearest(name, names)
            known = f"registered: {', '.join(names[:8])}" if names else "none yet; train with --register NAME"
            raise DataValidationError(
                f"no model is registered as {name!r}", hint=f"did you mean {guess}? {known}" if guess else known
            )
        path = self.folder / f"{name}.json"
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            kinds = {"folder": str, "method": str, "metrics": dict, "tags": list, "weights": dict, "registered": str}
            if all(isinstance(entry[key], kind) for key, kind in kinds.items()) and entry["name"] == name:
                return entry
            reason = "a field is of the wrong type"
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            reason = str(error)
        raise DataValidationError(
            f"{path} is damaged: {reason}", hint=f"delete {path}, and register the model anew with models add"
        )

    def path(self, name: str) -> Path:
        """The folder of a registered model.

        Raises:
            DataValidationError: the name is not registered, or the folder is gone.
        """
        folder = Path(self.get(name)["folder"])
        if not folder.is_dir():
            raise DataValidationError(
                f"the folder of the registered model '{name}' is gone: {folder}",
                hint=f"bring it back, or forget it: python main.py models remove {name}",
            )
        return folder

    def state(self, name: str) -> Literal["ok", "changed", "gone"]:
        """Whether the weights are those that were registered; reads all of them."""
        entry = self.get(name)
        folder = Path(entry["folder"])
        if not folder.is_dir():
            return "gone"
        now = {path.name: sha256_of(path) for path in folder.glob("*.safetensors")}
        return "ok" if now == entry["weights"] else "changed"

    def use(self, name: str) -> RegisteredModel:
        """Make a model the one that `chat` takes when none is named.

        Raises:
            DataValidationError: the name is not registered, or its folder is gone.
        """
        self.path(name)
        write_json_atomic(self.folder / DEFAULT_FILE, {"name": name})
        return self.get(name)

    def default(self) -> str | None:
        """The name that `use` chose last, if it is still registered."""
        if not (self.folder / DEFAULT_FILE).is_file():
            return None
        name = str(read_json_file(self.folder / DEFAULT_FILE).get("name"))
        return name if name in self.names() else None

    def tag(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> RegisteredModel:
        """Add tags to an entry, or take some off.

        Raises:
            ConfigurationError: a tag is malformed.
            DataValidationError: the name is not registered.
        """
        entry = self.get(name)
        gone = set(remove)
        tags = [tag for tag in _checked_tags([*entry["tags"], *add]) if tag not in gone]
        changed = RegisteredModel(**{**entry, "tags": tags})
        self._write(changed)
        return changed

    def remove(self, name: str, *, delete_files: bool = False) -> RegisteredModel:
        """Forget a model.

        Args:
            name: of the entry.
            delete_files: delete the folder of the model, too, with all that is in it.

        Raises:
            DataValidationError: the name is not registered, or its folder must not be deleted.
            LLMToolkitError: a run is at work in the folder.
        """
        entry = self.get(name)
        folder = Path(entry["folder"])
        if delete_files and folder.is_dir():
            self._refuse_to_delete(name, folder)
            shutil.rmtree(folder)
        if self.default() == name:
            (self.folder / DEFAULT_FILE).unlink(missing_ok=True)
        (self.folder / f"{name}.json").unlink()
        return entry

    def _refuse_to_delete(self, name: str, folder: Path) -> None:
        """Entries are files that anybody can write; what they name must still be a model and nothing more."""
        others = [one["folder"] for one in self.models() if one["name"] != name]
        reasons = {
            "it is a link": folder.is_symlink(),
            "it holds no model any more": not any(
                (folder / mark).is_file() for mark in ("adapter_config.json", "config.json")
            ),
            "the working directory, the home folder, the registry or the built-in model lies in it": any(
                PathUtils.is_inside(precious, folder) for precious in (Path(), Path.home(), self.folder, STARTER_DIR)
            ),
            "another registered model lies in it": any(PathUtils.is_inside(other, folder) for other in others),
        }
        reason = next((text for text, holds in reasons.items() if holds), None)
        if reason is not None:
            raise DataValidationError(
                f"{folder} is not deleted: {reason}", hint="remove the entry only, without deleting files"
            )
        refuse_if_held(folder)

    def _write(self, entry: RegisteredModel) -> None:
        write_json_atomic(self.folder / f"{entry['name']}.json", entry)


def _model_folder(model_dir: str | Path) -> Path:
    """Where the model of a folder is; for one that is still to be trained, the folder itself."""
    try:
        return Path(locate_model(Path(model_dir).resolve()).source)
    except DataValidationError:
        return Path(model_dir).resolve()


def _run_of(folder: Path) -> dict[str, Any]:
    """`run.json` of a model's run; that of a merged model lies above it, or in `train/` of a pipeline."""
    above = [folder.parent, folder.parent / "train"] if folder.name == "merged" else []
    for place in (folder, *above):
        if (place / "run.json").is_file():
            return read_json_file(place / "run.json")
    return {}


def _checked_tags(tags: Iterable[str]) -> list[str]:
    return sorted({PathUtils.checked_name(tag, "tag") for tag in tags})

"""What `MODEL` means on the command line, and what is told when it means nothing.

In this order: `starter`, a folder, the name of a registered model, the name of a model on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.schema import ToolkitConfig
from deployment.model_registry import ModelRegistry
from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, LLMToolkitError
from shared_utils.model_names import STARTER, locate_model
from shared_utils.path_utils import PathUtils
from shared_utils.settings import nearest

MODEL_HELP = "starter, a model, adapter or run folder, a registered name, or a hub name"


def resolve_model(name: str, config: ToolkitConfig, console: Console) -> str:
    """What to load for a `MODEL`: a registered name becomes its folder, everything else stays as it is.

    A folder is taken before a registered model of the same name, with a warning: what is typed is a path first.

    Raises:
        LLMToolkitError: there is no such model; names the nearest one.
    """
    with naming_known_models(name, config):
        registry = ModelRegistry(config.common.registry_dir)
        is_registered = name != STARTER and name in registry.names()
        if is_registered and Path(name).exists():
            registered = registry.get(name)["folder"]
            if not PathUtils.is_inside(registered, name):
                console.warn(f"{name} is a folder here and a registered model; the folder is taken, not {registered}")
        elif is_registered:
            return str(registry.path(name))
        locate_model(name)
        return name


def default_model(config: ToolkitConfig) -> tuple[str, str]:
    """Name and folder of the registered model that `models use` chose.

    Raises:
        ConfigurationError: none was chosen.
        DataValidationError: its folder is gone.
    """
    registry = ModelRegistry(config.common.registry_dir)
    name = registry.default()
    if name is None:
        raise ConfigurationError(
            "no model is named, and none is chosen",
            hint="name one, for example python main.py chat starter, or choose one: python main.py models use NAME",
        )
    return name, str(registry.path(name))


@contextmanager
def naming_known_models(name: str, config: ToolkitConfig) -> Iterator[None]:
    """Errors about a name that is no path tell the nearest finished model."""
    try:
        yield
    except LLMToolkitError as error:
        if Path(name).exists() or name == STARTER:
            raise
        raise _with_known_models(error, name, config) from error


def _with_known_models(error: LLMToolkitError, name: str, config: ToolkitConfig) -> LLMToolkitError:
    registered = ModelRegistry(config.common.registry_dir).names()
    if name in registered:
        return error
    known = [*registered, *finished_models(Path(config.common.output_dir))]
    short_names = {Path(path).name: path for path in reversed(known)}
    guess = nearest(name, [STARTER, *known]) or short_names.get(nearest(Path(name).name, short_names) or "")
    if guess:
        return type(error)(error.message, hint=f"did you mean {guess}?")
    if known:
        return type(error)(error.message, hint=f"{error.hint}; finished models here: {', '.join(known[:5])}")
    return error


def finished_models(output_dir: Path) -> list[str]:
    """Model and adapter folders under the output folder, newest first; checkpoints are left out."""
    marks = [
        mark
        for depth in ("*", "*/*", "*/*/*")
        for kind in ("adapter_config.json", "config.json")
        for mark in output_dir.glob(f"{depth}/{kind}")
    ]
    folders = {mark.parent: mark.stat().st_mtime for mark in marks if not _is_passing(mark.relative_to(output_dir))}
    return [str(folder) for folder in sorted(folders, key=lambda folder: (-folders[folder], str(folder)))]


def _is_passing(path: Path) -> bool:
    """Whether the path leads through a checkpoint or a folder that is just being written."""
    return any(part.startswith((".", "checkpoint-")) for part in path.parts)

"""Environments by name: a gymnasium id, `module:Class` or `path/to/file.py:Class`; what is wrong is one line."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from shared_utils.errors import ConfigurationError, LLMToolkitError, missing_extra, missing_package
from shared_utils.settings import nearest

_VERSIONED = re.compile(r"-v\d+$")  # how the ids of gymnasium end
# What gymnasium asks for, and which of our extras brings it.
_EXTRAS = {"box2d": "box2d", "classic-control": "classic-control", "classic_control": "classic-control"}
_RESERVED = {"id", "num_envs", "vectorization_mode", "disable_env_checker", "render_mode"}  # said by other flags


@dataclass(frozen=True)
class EnvironmentSource:
    """Where environments come from.

    Attributes:
        name: a gymnasium id, `module:id`, `module:Class` or `file.py:Class`.
        kwargs: handed to the environment.
        max_steps: episodes are cut there; None leaves the environment's own limit.
    """

    name: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int | None = None

    @property
    def is_class(self) -> bool:
        """Whether the name means a class and not a registered id."""
        return ":" in self.name and not _VERSIONED.search(self.name)


def make_environment(source: EnvironmentSource, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One environment, with its time limit.

    Raises:
        ConfigurationError: there is no such environment, a package is missing, or the arguments do not fit.
    """
    taken = sorted(_RESERVED & set(source.kwargs))
    if taken:
        raise ConfigurationError(
            f"'{taken[0]}' is no argument of an environment", hint="use --env, --num-envs or --record-video"
        )
    kwargs = dict(source.kwargs) | ({"render_mode": render_mode} if render_mode else {})
    if source.is_class:
        env = _called(source, environment_class(source.name), kwargs)
        if not isinstance(env, gymnasium.Env):
            raise ConfigurationError(
                f"{source.name} is no gymnasium environment: it made a {type(env).__name__}",
                hint="name a class that inherits from gymnasium.Env",
            )
        return gymnasium.wrappers.TimeLimit(env, source.max_steps) if source.max_steps else env
    limit = _shorter_limit(source)
    more = {"max_episode_steps": limit} if limit else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of newer versions; what matters is checked once, before training
        return _called(source, gymnasium.make, {"id": source.name, "disable_env_checker": True, **more, **kwargs})


def _shorter_limit(source: EnvironmentSource) -> int | None:
    """The limit asked for, where the environment's own is not shorter."""
    own = getattr(registered(source.name), "max_episode_steps", None)
    return source.max_steps if source.max_steps and (own is None or source.max_steps < own) else None


def registered(name: str) -> Any:
    """What gymnasium knows of an id; None for a class.

    Raises:
        ConfigurationError: no such id; names the nearest ones.
    """
    if ":" in name and not _VERSIONED.search(name):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gymnasium.spec(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{name}: {error}", hint="check the name before the colon") from None
    except gymnasium.error.Error as error:
        raise _unknown(name, error) from None
    except Exception as error:  # of the module before the colon
        raise _broken(name, "imported", error) from error


def _unknown(name: str, error: Exception) -> ConfigurationError:
    space = name.partition("/")[0] if "/" in name else ""
    if space in ("ALE", "AtariEnv") or "ale" in str(error).casefold().split():
        return missing_package("ale-py", f"the environment {name}")
    known = sorted(gymnasium.registry)
    close = _nearest_few(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else "gymnasium.pprint_registry() lists those there are"
    return ConfigurationError(f"no environment '{name}'", hint=hint)


def _nearest_few(name: str, known: list[str]) -> list[str]:
    found: list[str] = []
    # Names without version first, so that CartPole finds its newest one.
    newest = {_VERSIONED.sub("", one): one for one in known}
    for _ in range(3):
        guess = nearest(_VERSIONED.sub("", name), set(newest))
        if guess is None:
            break
        found.append(newest.pop(guess))
    return found


def _called(source: EnvironmentSource, maker: Any, kwargs: dict[str, Any]) -> Any:
    try:
        return maker(**kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise missing_dependency(source.name, str(error)) from None
    except gymnasium.error.Error as error:
        raise ConfigurationError(f"{source.name}: {error}", hint="check --env and --env-kwargs") from None
    except ModuleNotFoundError as error:
        raise missing_package(str(error.name), f"the environment {source.name}") from None
    except TypeError as error:
        if "argument" not in str(error):
            raise _broken(source.name, "made", error) from error
        raise ConfigurationError(
            f"{source.name} does not take these arguments: {error}", hint="check --env-kwargs"
        ) from None
    except LLMToolkitError:
        raise
    except Exception as error:
        raise _broken(source.name, "made", error) from error


def missing_dependency(name: str, message: str) -> ConfigurationError:
    """The error for a package that gymnasium asks for, with the command that installs it."""
    asked = re.search(r"gymnasium\[([\w-]+)\]", message)
    extra = asked[1] if asked else ""
    if extra in _EXTRAS:
        return missing_extra(_EXTRAS[extra], f"gymnasium[{extra}]", f"the environment {name}")
    package = re.search(r"pip install ([^\s`]+)", message)
    return missing_package(package[1].strip("\"'") if package else "gymnasium[all]", f"the environment {name}")


def _broken(name: str, done: str, error: Exception, what: str = "environment") -> LLMToolkitError:
    return LLMToolkitError(
        f"{name} could not be {done}: {type(error).__name__}: {error}", hint=f"the fault lies in the {what}"
    )


def environment_class(name: str) -> Any:
    """The class that `module:Class` or `file.py:Class` names; its module is run.

    Raises:
        ConfigurationError: there is no such file, module or class.
    """
    place, _, attribute = name.rpartition(":")
    module = module_of(place)
    found = getattr(module, attribute, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        guess = nearest(attribute, classes)
        raise ConfigurationError(
            f"{place} has no class '{attribute}'",
            hint=f"did you mean {guess}?" if guess else f"its classes: {', '.join(classes) or 'none'}",
        )
    return found


def module_of(place: str, what: str = "environment") -> ModuleType:
    """The module that stands before the colon of a name; it is run.

    Args:
        place: a module, or a path/to/file.py.
        what: is looked for in it, for errors.

    Raises:
        ConfigurationError: there is no such file or module, or it needs a package that is missing.
        LLMToolkitError: it fails while it is run.
    """
    return _module_of_file(Path(place), what) if place.endswith(".py") else _module_by_name(place, what)


def _module_by_name(name: str, what: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the caller, as `python` itself would find it
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(f"no module '{name}'", hint="name a file as path/to/file.py:NAME") from None
        raise missing_package(str(error.name), f"the module {name}") from None
    except Exception as error:
        raise _broken(name, "imported", error, what) from error


def _module_of_file(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"no file {path}", hint="check the path before the colon")
    name = f"llm_toolkit_{what}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file", hint="name it as path/to/file.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise missing_package(str(error.name), f"the {what} {path}") from None
    except Exception as error:
        raise _broken(str(path), "imported", error, what) from error
    return module

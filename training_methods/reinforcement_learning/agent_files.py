"""Agents in files: arrays and plain facts in one safetensors file, which holds no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shared_utils.errors import DataValidationError, SecurityError
from shared_utils.file_utils import atomic_binary_writer, to_json

Array = Any

FACTS_KEY = "llm_toolkit"


def save_arrays(path: str | Path, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
    """Write arrays and facts in one move.

    Args:
        path: the file.
        arrays: numpy arrays by name.
        facts: anything that JSON holds.
    """
    # In the order of their names: the same state gives the same bytes.
    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    with atomic_binary_writer(Path(path)) as file:
        file.write(save(whole, {FACTS_KEY: to_json(facts)}))


def load_arrays(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and facts of a file.

    Raises:
        DataValidationError: there is no such file, or it is cut off or of another kind.
        SecurityError: it is a pickle, which could hold code.
    """
    file_path = Path(path)
    if not file_path.is_file():
        raise DataValidationError(f"no agent at {file_path}", hint="name the agent.safetensors of a run folder")
    with file_path.open("rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise SecurityError(
            f"{file_path} is a pickle, which can hold code; it was not opened",
            hint="agents are safetensors files; train it again, or convert its weights with the program it comes from",
        )
    try:
        with safe_open(str(file_path), framework="numpy") as stored:
            facts = json.loads((stored.metadata() or {})[FACTS_KEY])
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise DataValidationError(
            f"{file_path} is damaged: {error!s:.120}", hint="take an older checkpoint of the run"
        ) from None
    except KeyError:
        raise DataValidationError(
            f"{file_path} holds no agent of this toolkit", hint="name the agent.safetensors of a run folder"
        ) from None

"""Snake: rules, players that reason in plain English, environments for agents, records for language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snake_game.game import Game as Game
    from snake_game.heuristics import make_heuristic as make_heuristic

_MODULES = {"Game": "snake_game.game", "make_heuristic": "snake_game.heuristics"}
__all__ = ["Game", "make_heuristic"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

"""Settings of the games of Snake."""

from __future__ import annotations

from pydantic import Field

from shared_utils.settings import Settings
from snake_game.game import LARGEST_BOARD, SMALLEST_BOARD


class SnakeSettings(Settings):
    """How Snake is played, recorded and measured."""

    board: int = Field(10, ge=SMALLEST_BOARD, le=LARGEST_BOARD, description="cells a side of the board")
    games: int = Field(100, ge=1, le=1_000_000, description="games of each heuristic or player")
    max_records: int | None = Field(
        None, ge=1, description="most records of each heuristic; null takes as many of each as the scarcest has"
    )
    workers: int | None = Field(None, ge=1, le=256, description="processes that play; null takes one a core")
    delay: float = Field(0.1, ge=0, le=10, description="seconds between two steps of a game that is shown")

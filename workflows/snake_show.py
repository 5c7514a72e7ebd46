"""One game of Snake to look at: in the terminal, and as an animated GIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snake_game.board_text import board_text
from snake_game.game import Game
from snake_game.matches import replay
from snake_game.terminal import TerminalBoard
from workflows.snake_evaluation import game_seed
from workflows.snake_players import Contestant

_ENDS = {
    "won": "won: the snake fills the board",
    "wall": "ran into the wall",
    "body": "ran into itself",
    "starved": "given up: no apple for too long",
}
_SHORT_ENDS = {"": "", "won": "   won", "wall": "   died", "body": "   died", "starved": "   gave up"}
_LONGEST_NAME = 16  # characters that the picture has room for


class Show:
    """A game of one player, which is played once and can then be shown again.

    Args:
        player: who plays.
        board: cells a side.
        seed: which game.
    """

    def __init__(self, player: Contestant, board: int, seed: int) -> None:
        self._player, self._board = player, board
        self._seed = game_seed(player.name, board, seed, 0)
        self._directions: list[int] = []
        self._unclear = 0
        self._game = Game(board, self._seed)

    def play(self, terminal: TerminalBoard | None) -> dict[str, Any]:
        """Play to the end, before somebody's eyes where there is a terminal; how it went."""
        game, player = self._game, self._player.new_player(self._seed)
        if terminal:
            terminal.show(game, self._caption(game), "")
        while not game.end:
            direction, reason = player.choose(game)
            if direction is None:
                self._unclear += 1
                direction, reason = game.direction, f"no move in the answer {reason!r}, straight on"
            self._directions.append(direction)
            game.step(direction)
            if terminal:
                terminal.show(game, self._caption(game), reason)
        return {
            "score": game.score,
            "steps": game.steps,
            "end": game.end,
            "won": game.end == "won",
            "invalid_moves": game.invalid + self._unclear,
        }

    @property
    def last_board(self) -> str:
        """The board as it stands."""
        return board_text(self._game)

    @property
    def outcome(self) -> str:
        """How the game went, in a line."""
        game = self._game
        invalid = game.invalid + self._unclear
        told = f", {invalid} invalid moves" if invalid else ""
        return f"{_ENDS[game.end]}; score {game.score} of {_most(game)}, {game.steps} steps{told}"

    def save_gif(self, path: Path, seconds_a_step: float) -> int:
        """Write the game as an animated GIF; the number of frames."""
        from snake_game.picture import save_gif

        return save_gif(
            path,
            lambda: replay(self._board, self._seed, self._directions),
            len(self._directions),
            self._caption,
            max(0.02, seconds_a_step),  # programs show anything faster slowly
        )

    def _caption(self, game: Game) -> str:
        name = Path(self._player.name).name[:_LONGEST_NAME]
        return f"{name}   score {game.score} of {_most(game)}   step {game.steps}{_SHORT_ENDS[game.end]}"


def _most(game: Game) -> int:
    """Apples of a won game."""
    return game.cells - (len(game.body) - game.score)

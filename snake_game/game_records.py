"""Played games as training records: the board, the legal moves, the move that a heuristic makes, and why.

{"id": "bfs-6x6-42-0-7", "instruction": "Play Snake. ...", "input": ". . A . . .\\n...\\nLegal moves: up, left.",
 "output": "up\\nGo up: the shortest free way to the apple begins there and takes 3 steps.",
 "metadata": {"algorithm": "bfs", "board": 6, "game": 0, "step": 7, "score": 1}}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import JSONEncoder

from snake_game.board_text import INSTRUCTION, BoardCanvas, answer, question
from snake_game.game import Game, Player
from snake_game.heuristics import make_heuristic

_to_json = JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Share:
    """Which of a row of records are written: `taken` of `total`, evenly spread; `first` is the number of the first."""

    first: int
    taken: int
    total: int

    def takes(self, index: int) -> bool:
        """Whether the record that is number `index` from `first` on is written."""
        number = self.first + index
        return (number + 1) * self.taken // self.total > number * self.taken // self.total


def new_game(algorithm: str, board: int, seed: int, number: int) -> tuple[Game, Player]:
    """Game number `number` of a heuristic and its player; the same whenever and wherever it is played."""
    name = f"{algorithm}:{board}:{seed}:{number}"
    return Game(board, name), make_heuristic(algorithm, name)


def record_lines(algorithm: str, board: int, seed: int, number: int, takes: Callable[[int], bool]) -> Iterator[str]:
    """The records of one game as lines of JSON.

    Args:
        algorithm, board, seed, number: which game, see `new_game`.
        takes: whether the record of a step, counted from 0, is wanted.
    """
    game, player = new_game(algorithm, board, seed, number)
    canvas = BoardCanvas(game)
    # What does not change stands in JSON already; the rest is encoded record by record.
    head = f'{{"id": "{algorithm}-{board}x{board}-{seed}-{number}-'
    instruction = f'", "instruction": {_to_json(INSTRUCTION)}, "input": '
    metadata = f', "metadata": {{"algorithm": "{algorithm}", "board": {board}, "game": {number}, "step": '
    while not game.end:
        direction, reason = player.choose(game)
        assert direction is not None  # a heuristic always knows
        step = game.steps
        if takes(step):
            text = _to_json(question(game, canvas.text()))
            said = _to_json(answer(direction, reason))
            yield f'{head}{step}{instruction}{text}, "output": {said}{metadata}{step}, "score": {game.score}}}}}\n'
        game.step(direction)
        if not game.end:
            canvas.update()

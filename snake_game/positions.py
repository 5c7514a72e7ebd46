"""Fixed positions that show how well a player decides, and which moves are right in each.

files/positions.jsonl, written by scripts/make_snake_positions.py, holds a position a line:
{"id": "6x6-001", "board": 6, "body": [[2, 3], [2, 2], ...], "apple": [0, 4], "shortest": ["up"], "safe": ["up"]}

`body` is head first, rows and columns count from 0. A move is right if it begins a shortest free way to the apple, or
if it is safe: behind it the head still finds a way to the tail. In each position at least one legal move is right and
at least one is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared_utils.errors import DataValidationError
from shared_utils.file_utils import read_jsonl
from snake_game.game import DIRECTIONS, Game
from snake_game.searches import shortest_way, tail_is_reachable

SHIPPED = Path(__file__).resolve().parent / "files" / "positions.jsonl"
_HINT = "scripts/make_snake_positions.py writes such a file; docs/snake.md tells its form"


@dataclass(frozen=True)
class Position:
    """A position, with the moves that begin a shortest way to the apple and those that are safe."""

    id: str
    board: int
    body: tuple[tuple[int, int], ...]
    apple: tuple[int, int]
    shortest: frozenset[int]
    safe: frozenset[int]

    def game(self) -> Game:
        """A game that stands so."""
        game = Game(self.board, seed=0)
        game.set_position(self.body, self.apple)
        return game


def load_positions(path: Path, board: int) -> list[Position]:
    """The positions of a file that are on boards of this size.

    Raises:
        DataValidationError: a line is broken or impossible, or no position is of this size; names file and line.
    """
    positions = [_read(row, f"{path}, line {number}") for number, row in read_jsonl(path)]
    chosen = [position for position in positions if position.board == board]
    if not chosen:
        sizes = ", ".join(f"{size}x{size}" for size in sorted({position.board for position in positions})) or "none"
        raise DataValidationError(f"{path} holds no position on a board of {board}x{board}", hint=f"it has: {sizes}")
    return chosen


def shipped_sizes() -> set[int]:
    """The sizes of board that the shipped file has positions of."""
    return {int(row["board"]) for _, row in read_jsonl(SHIPPED)}


def shortest_moves(game: Game) -> list[int]:
    """The legal moves that begin a shortest free way to the apple; its tail, which moves on, counts as free."""
    blocked = bytearray(game.blocked)
    blocked[game.body[0]] = 0
    lengths: dict[int, int] = {}
    for direction in game.legal_moves():
        cell = game.body[-1] + game.deltas[direction]
        if cell == game.apple:
            return [direction]
        if not blocked[cell]:
            way = shortest_way(blocked, game.deltas, cell, game.apple)
            if way is not None:
                lengths[direction] = len(way)
    return [direction for direction, length in lengths.items() if length == min(lengths.values())]


def safe_moves(game: Game) -> list[int]:
    """The legal moves behind which the head still finds a way to the tail."""
    return [direction for direction in game.legal_moves() if _is_safe(game, direction)]


def as_row(identity: str, game: Game) -> dict[str, Any]:
    """A position as a line of the file."""
    return {
        "id": identity,
        "board": game.size,
        "body": [list(game.place(cell)) for cell in reversed(game.body)],
        "apple": list(game.place(game.apple)),
        "shortest": [DIRECTIONS[direction] for direction in shortest_moves(game)],
        "safe": [DIRECTIONS[direction] for direction in safe_moves(game)],
    }


def _is_safe(game: Game, direction: int) -> bool:
    cell = game.body[-1] + game.deltas[direction]
    if game.blocked[cell] and cell != game.body[0]:
        return False
    body = [*game.body, cell]
    if cell != game.apple:
        body = body[1:]
    return len(body) == game.cells or tail_is_reachable(body, game)


def _read(row: dict[str, Any], where: str) -> Position:
    try:
        board = row["board"]
        position = Position(
            id=str(row["id"]),
            board=board,
            body=tuple(_place(place) for place in row["body"]),
            apple=_place(row["apple"]),
            shortest=_moves(row["shortest"]),
            safe=_moves(row["safe"]),
        )
        position.game()
    except KeyError as error:
        raise DataValidationError(f"{where}: {error.args[0]!r} is missing", hint=_HINT) from None
    except (ValueError, TypeError) as error:
        raise DataValidationError(f"{where}: not a position of Snake ({error})", hint=_HINT) from None
    if not position.shortest | position.safe:
        raise DataValidationError(f"{where}: no move is right", hint=_HINT)
    return position


def _place(value: Sequence[Any]) -> tuple[int, int]:
    row, column = value
    if type(row) is not int or type(column) is not int:
        raise ValueError("rows and columns are whole numbers")
    return row, column


def _moves(names: Sequence[str]) -> frozenset[int]:
    if not set(names) <= set(DIRECTIONS):
        raise ValueError(f"moves are {', '.join(DIRECTIONS)}")
    return frozenset(DIRECTIONS.index(name) for name in names)

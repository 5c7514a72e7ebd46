"""The rules of Snake on a square board, and nothing else; no other module is needed.

The snake starts in the middle, three cells long, heading right. Each step it moves one cell. An apple makes it one
cell longer; the next apple appears on a free cell. The game is won when the snake fills the board, lost when it runs
into the wall or into itself, and given up when it has not eaten for `patience` steps. The cell that the tail leaves
in the same step is free. A move straight back is invalid: it is counted, and the snake goes straight on.

Cells are numbers on a board with a wall of one cell around it: (row + 1) * (size + 2) + column + 1. A neighbour is
then one addition away, and no edge needs a test.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

UP, RIGHT, DOWN, LEFT = range(4)
DIRECTIONS = ("up", "right", "down", "left")
SMALLEST_BOARD, LARGEST_BOARD = 4, 32
START_LENGTH = 3
NO_APPLE = 0  # a cell of the wall: where the apple of a won game is

End = Literal["", "won", "wall", "body", "starved"]


class Move(NamedTuple):
    """What a player wants, and why in one sentence; `direction` None is an answer that names no move."""

    direction: int | None
    reason: str


class Player(Protocol):
    """Whoever plays: a heuristic, an agent, a language model."""

    def choose(self, game: Game) -> Move:
        """The next move of a game that is not over."""
        ...


class Game:
    """One game.

    Args:
        size: cells a side, 4 to 32.
        seed: start of the apples; the same seed and moves give the same game.
        draw: gives a number from 0 to below its argument; replaces the generator that `seed` starts.
        patience: steps without an apple after which the game is given up; None takes twice the cells of the board,
            within which a loop through all of them comes by everywhere.

    Attributes:
        body: cells of the snake, tail first.
        blocked: for each cell 0 (free), 1 (snake) or 2 (wall).
        direction: of the last step.
        deltas: what is added to a cell by a step up, right, down and left.
        apple: its cell; `NO_APPLE` once the board is full.
        score: apples eaten; `steps`, `hungry`: steps made, steps since the last apple; `invalid`: moves straight back.
        end: how the game ended; empty while it goes on.

    Raises:
        ValueError: the size is out of bounds.
    """

    __slots__ = (
        "apple", "blocked", "body", "cells", "deltas", "direction", "draw", "end", "hungry", "inner", "invalid",
        "patience", "score", "size", "steps",
    )  # fmt: skip

    body: deque[int]
    blocked: bytearray
    direction: int
    apple: int
    score: int
    steps: int
    hungry: int
    invalid: int
    end: End

    def __init__(
        self,
        size: int = 10,
        seed: int | str | None = None,
        draw: Callable[[int], int] | None = None,
        patience: int | None = None,
    ) -> None:
        if not SMALLEST_BOARD <= size <= LARGEST_BOARD:
            raise ValueError(f"a board of {size}x{size} is not between {SMALLEST_BOARD} and {LARGEST_BOARD}")
        self.size = size
        self.cells = size * size
        self.patience = 2 * self.cells if patience is None else patience
        self.draw = random.Random(seed).randrange if draw is None else draw
        width = size + 2
        self.deltas = (-width, 1, width, -1)
        self.inner = [self.cell(row, column) for row in range(size) for column in range(size)]
        self.reset()

    def reset(self) -> None:
        """Begin anew; the apples go on with the next draws."""
        middle = self.size // 2
        self._place([self.cell(middle, middle - START_LENGTH + 1 + index) for index in range(START_LENGTH)])
        self.apple = self._drawn_apple()

    def set_position(self, body: Sequence[tuple[int, int]], apple: tuple[int, int]) -> None:
        """Go on from a given position.

        Args:
            body: row and column of each cell of the snake, head first.
            apple: its row and column.

        Raises:
            ValueError: the snake is too short, not connected or not on the board, or the apple is not on a free cell.
        """
        cells = [self.cell(*place) for place in reversed(body)]
        steps = [after - before for before, after in pairwise(cells)]
        if len(cells) < START_LENGTH or len(set(cells)) < len(cells) or not set(steps) <= set(self.deltas):
            raise ValueError(f"a snake is {START_LENGTH} or more different cells, each beside the next")
        if not all(0 <= number < self.size for place in (*body, apple) for number in place):
            raise ValueError(f"a row or column is not on a board of {self.size}x{self.size}")
        if self.cell(*apple) in cells:
            raise ValueError("the apple lies on the snake")
        self._place(cells)
        self.apple = self.cell(*apple)

    def step(self, direction: int) -> bool:
        """Move one cell; whether an apple was eaten. Tells nothing of a game that is over: look at `end` before."""
        if direction == self.direction ^ 2:
            self.invalid += 1
            direction = self.direction
        self.direction = direction
        self.steps += 1
        body, blocked = self.body, self.blocked
        head = body[-1] + self.deltas[direction]
        if head == self.apple:
            body.append(head)
            blocked[head] = 1
            self.score += 1
            self.hungry = 0
            if len(body) == self.cells:
                self.apple, self.end = NO_APPLE, "won"
            else:
                self.apple = self._drawn_apple()
            return True
        tail = body.popleft()
        blocked[tail] = 0
        if blocked[head]:
            body.appendleft(tail)
            self.end = "wall" if blocked[head] == 2 else "body"
            blocked[tail] = 1
            return False
        body.append(head)
        blocked[head] = 1
        self.hungry += 1
        if self.hungry >= self.patience:
            self.end = "starved"
        return False

    def legal_moves(self) -> list[int]:
        """The moves that do not end the game at once; where all do, all but the one straight back. Never empty."""
        head, tail, blocked = self.body[-1], self.body[0], self.blocked
        moves = [
            direction
            for direction, delta in enumerate(self.deltas)
            if not blocked[head + delta] or head + delta == tail
        ]
        return moves or [direction for direction in range(4) if direction != self.direction ^ 2]

    def cell(self, row: int, column: int) -> int:
        """The number of a cell; rows and columns count from 0 at the top left."""
        return (row + 1) * (self.size + 2) + column + 1

    def place(self, cell: int) -> tuple[int, int]:
        """Row and column of a cell."""
        row, column = divmod(cell, self.size + 2)
        return row - 1, column - 1

    def _place(self, cells: list[int]) -> None:
        self.body = deque(cells)
        width = self.size + 2
        self.blocked = bytearray(b"\2" * (width * width))
        for cell in self.inner:
            self.blocked[cell] = 0
        for cell in cells:
            self.blocked[cell] = 1
        self.direction = self.deltas.index(cells[-1] - cells[-2])
        self.score = self.steps = self.hungry = self.invalid = 0
        self.end = ""

    def _drawn_apple(self) -> int:
        """One of the free cells, which are numbered row by row; every implementation draws from this order."""
        blocked = self.blocked
        free = [cell for cell in self.inner if not blocked[cell]]
        return free[self.draw(len(free))]

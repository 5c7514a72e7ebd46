"""The game as words: the board as text, the question to a language model, and its answer.

. . . . . .
. . . A . .
. v < . . .     H the head, A the apple, arrows the body: each points to the next cell towards the head
. > > H . .
. . . . . .
. . . . . .
"""

from __future__ import annotations

import re
from itertools import pairwise

from snake_game.game import DIRECTIONS, NO_APPLE, Game

HEAD, APPLE, FREE = "H", "A", "."
ARROWS = "^>v<"  # by direction
INSTRUCTION = (
    "Play Snake. H is the head, A the apple, arrows are the body and point towards the head, dots are free. "
    "Rows are counted from the top, columns from the left, from 1. Answer with up, right, down or left on the first "
    "line and the reason on the second."
)
_ANSWER = re.compile(r"\s*(up|right|down|left)\b", re.IGNORECASE)


def board_text(game: Game) -> str:
    """The board, one line a row, cells apart by a space."""
    return BoardCanvas(game).text()


def question(game: Game, board: str | None = None) -> str:
    """What is asked about a position: the board, where head and apple are, and the legal moves.

    Args:
        game: the position.
        board: its board as text, where that is known already.
    """
    row, column = game.place(game.body[-1])
    apple_row, apple_column = game.place(game.apple)
    legal = ", ".join([DIRECTIONS[direction] for direction in game.legal_moves()])
    return (
        f"{board_text(game) if board is None else board}\n"
        f"Head: row {row + 1}, column {column + 1}. Apple: row {apple_row + 1}, column {apple_column + 1}. "
        f"Length: {len(game.body)}.\nLegal moves: {legal}."
    )


def answer(direction: int, reason: str) -> str:
    """The answer that a language model is to give."""
    return f"{DIRECTIONS[direction]}\n{reason}"


def parse_answer(text: str) -> int | None:
    """The direction that an answer names, None where it names none.

    Strict: the first word of the answer is up, right, down or left; nothing is guessed from the rest.
    """
    match = _ANSWER.match(text)
    return DIRECTIONS.index(match[1].lower()) if match else None


class BoardCanvas:
    """The board as text, kept up with a game step by step, which costs less than writing it anew.

    Args:
        game: the position to begin with; call `update` after each of its steps.
    """

    def __init__(self, game: Game) -> None:
        size, self._game = game.size, game
        # Each cell takes two places, the second a space or the end of the line.
        self._place = [0] * (size + 2) ** 2
        for number, cell in enumerate(game.inner):
            self._place[cell] = 2 * number
        self._row = [FREE if index % 2 == 0 else " " for index in range(2 * size * size)]
        for row in range(size):
            self._row[2 * size * (row + 1) - 1] = "\n"
        self._row[-1] = ""
        body = list(game.body)
        for before, after in pairwise(body):
            self._row[self._place[before]] = ARROWS[game.deltas.index(after - before)]
        self._tail = body[0]
        self._show_head_and_apple()

    def update(self) -> None:
        """Take over the step that the game has just made, unless that ended it."""
        game, row, place = self._game, self._row, self._place
        tail, head = game.body[0], game.body[-1]
        if tail != self._tail:
            row[place[self._tail]] = FREE
            self._tail = tail
        row[place[head - game.deltas[game.direction]]] = ARROWS[game.direction]
        self._show_head_and_apple()

    def text(self) -> str:
        """The board, one line a row, cells apart by a space."""
        return "".join(self._row)

    def _show_head_and_apple(self) -> None:
        game = self._game
        self._row[self._place[game.body[-1]]] = HEAD
        if game.apple != NO_APPLE:
            self._row[self._place[game.apple]] = APPLE

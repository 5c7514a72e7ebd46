"""A game in the terminal: a coloured board that is drawn over and over in one place."""

from __future__ import annotations

import shutil
import sys
import time
from itertools import pairwise
from typing import TextIO

from shared_utils.console import printable
from snake_game.board_text import board_text
from snake_game.game import DOWN, LEFT, RIGHT, UP, Game

_RESET = "\x1b[0m"
_HEAD = "\x1b[30;102m"
_BODY = ("\x1b[30;42m", "\x1b[30;48;5;28m")
# A line through the snake shows how it lies where it runs along itself; by the sides that it leads to.
_LINES = {
    frozenset({UP, DOWN}): "│ ", frozenset({LEFT, RIGHT}): "──", frozenset({UP, RIGHT}): "└─",
    frozenset({UP, LEFT}): "┘ ", frozenset({DOWN, RIGHT}): "┌─", frozenset({DOWN, LEFT}): "┐ ",
    frozenset({UP}): "╵ ", frozenset({DOWN}): "╷ ", frozenset({LEFT}): "╴ ", frozenset({RIGHT}): "╶─",
}  # fmt: skip
_APPLE = "\x1b[91m"
_EYES = ("''", " :", "..", ": ")  # by direction; a cell is two characters wide, which makes it about square
_APPLE_PICTURE = "()"


class TerminalBoard:
    """Shows a game step by step in one place of the terminal.

    Args:
        delay: seconds between two steps.
        use_colours: without them the board is text, as language models see it.
        out: the terminal.
    """

    def __init__(self, delay: float, use_colours: bool, out: TextIO = sys.stdout) -> None:
        self._delay, self._use_colours, self._out = delay, use_colours, out
        self._lines = 0

    def show(self, game: Game, *below: str) -> None:
        """Draw the board, with lines of text below it, over the one before."""
        columns = shutil.get_terminal_size().columns
        board = coloured_board(game) if self._use_colours else board_text(game)
        text = [printable(line)[: columns - 1] for line in below]
        lines = [*board.splitlines(), *text]
        if self._lines:
            self._out.write(f"\x1b[{self._lines}F")  # up to the first line of the last drawing
            time.sleep(self._delay)
        # What is left of a longer line or of more lines is erased.
        self._out.write("".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._out.flush()
        self._lines = len(lines)


def coloured_board(game: Game) -> str:
    """The board in a frame, drawn with colours of the terminal."""
    head, lines_by_cell = game.body[-1], _body_lines(game)
    edge = "─" * (2 * game.size)
    lines = [f"┌{edge}┐"]
    for row in range(game.size):
        cells = []
        for column in range(game.size):
            cell = game.cell(row, column)
            if cell == head:
                cells.append(f"{_HEAD}{_EYES[game.direction]}{_RESET}")
            elif game.blocked[cell]:
                cells.append(f"{_BODY[(row + column) % 2]}{lines_by_cell[cell]}{_RESET}")
            else:
                cells.append(f"{_APPLE}{_APPLE_PICTURE}{_RESET}" if cell == game.apple else " ·")
        lines.append(f"│{''.join(cells)}│")
    return "\n".join([*lines, f"└{edge}┘"])


def _body_lines(game: Game) -> dict[int, str]:
    """For each cell of the snake the sides by which it is joined to the next ones, as a drawing."""
    sides: dict[int, set[int]] = {cell: set() for cell in game.body}
    for cell, after in pairwise(game.body):
        direction = game.deltas.index(after - cell)
        sides[cell].add(direction)
        sides[after].add(direction ^ 2)
    return {cell: _LINES[frozenset(joined)] for cell, joined in sides.items()}

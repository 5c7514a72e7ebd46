"""What an agent sees, for many games at once: a grid, its cells in a row, a few features, or the legal moves.

A game is seen as `remaining`: for each cell, wall included, in how many steps the snake has left it if it eats nothing
on the way; 0 for a free cell, `WALL` for the wall. 1 is the tail, which is gone when the head arrives. Cells are
numbered as in `game.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from snake_game.board_text import INSTRUCTION, question
from snake_game.game import LARGEST_BOARD, Game

Kind = Literal["grid", "cells", "features", "text"]
Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.intp]
Bools: TypeAlias = NDArray[np.bool_]

WALL = 2**28
CHANNELS = ("head", "snake", "time until the snake has left", "apple")
FEATURES = 18
TEXT_CHARACTERS = "".join(sorted(set(INSTRUCTION) | set("^v<>.\n:,0123456789-HALdefghijklmnopqrstuvwxyzRuw ")))


class Positions(NamedTuple):
    """The positions of N games on boards of one size.

    Attributes:
        remaining: see above, shape (N, cells with wall).
        head, tail, apple: cells, shape (N,).
        direction: of the last step, shape (N,).
        length: cells of the snake, shape (N,).
        hunger: steps since the last apple as a share of the game's patience, shape (N,).
    """

    remaining: NDArray[np.int32]
    head: Ints
    tail: Ints
    apple: Ints
    direction: Ints
    length: Ints
    hunger: Floats


def observation_space(kind: Kind, board: int) -> spaces.Space[object]:
    """The space of one observation."""
    if kind == "grid":
        return spaces.Box(0.0, 1.0, (len(CHANNELS), board, board), np.float32)
    if kind == "cells":
        return spaces.Box(0.0, 1.0, (len(CHANNELS) * board * board,), np.float32)
    if kind == "features":
        return spaces.Box(-1.0, 1.0, (FEATURES,), np.float32)
    return spaces.Text(2 * LARGEST_BOARD**2 + 200, charset=TEXT_CHARACTERS)


def observe(game: Game, kind: Kind) -> Floats | str:
    """The observation of one game, as the environments give it."""
    if kind == "text":
        return question(game)
    return view(position_of(game), game.size, kind)[0]


def action_mask(game: Game) -> Bools:
    """Which of the four moves are legal, shape (4,)."""
    return legal(position_of(game), game.size)[0]


def position_of(game: Game) -> Positions:
    """One game as positions of N = 1."""
    remaining = np.where(np.frombuffer(game.blocked, np.uint8) == 2, WALL, 0).astype(np.int32)
    remaining[list(game.body)] = np.arange(1, len(game.body) + 1)
    cells = (game.body[-1], game.body[0], game.apple, game.direction, len(game.body))
    head, tail, apple, direction, length = (np.array([cell], np.intp) for cell in cells)
    hunger = np.array([game.hungry / game.patience], np.float32)
    return Positions(remaining[None], head, tail, apple, direction, length, hunger)


def view(positions: Positions, board: int, kind: Kind) -> Floats:
    """What is seen of N games, as grid, cells or features; the first axis is the game."""
    if kind == "features":
        return features(positions, board)
    planes = grid(positions, board)
    return planes if kind == "grid" else planes.reshape(len(planes), -1)


def grid(positions: Positions, board: int) -> Floats:
    """The board as it lies, one plane for each of `CHANNELS`, shape (N, 4, board, board), 0 to 1."""
    count, width = len(positions.head), board + 2
    padded: Floats = np.zeros((count, len(CHANNELS), width * width), np.float32)
    rows = np.arange(count)
    padded[rows, 0, positions.head] = 1.0
    np.greater(positions.remaining, 0, out=padded[:, 1], casting="unsafe")
    np.multiply(positions.remaining, np.float32(1 / board**2), out=padded[:, 2], casting="same_kind")
    padded[rows, 3, positions.apple] = 1.0
    return np.ascontiguousarray(padded.reshape(count, len(CHANNELS), width, width)[:, :, 1:-1, 1:-1])


def features(positions: Positions, board: int) -> Floats:
    """Numbers for a small network, shape (N, 18).

    For up, right, down and left: whether the next cell is blocked, how far the way is free (share of the board), and
    whether it is the direction of the snake. Then row and column from the head to the apple and to the tail (share of
    the board), the length (share of the cells) and the hunger.
    """
    rows = np.arange(len(positions.head))
    rays = _rays(board)[positions.head]
    is_blocked = positions.remaining[rows[:, None, None], rays] > 1
    row, column = np.divmod(positions.head, board + 2)
    parts = [
        is_blocked[:, :, 0],
        is_blocked.argmax(axis=2) / board,
        np.arange(4) == positions.direction[:, None],
    ]
    for goal in (positions.apple, positions.tail):
        goal_row, goal_column = np.divmod(goal, board + 2)
        has_goal = goal > 0  # the apple of a won game is nowhere
        parts.append(np.stack([(goal_row - row) * has_goal, (goal_column - column) * has_goal], axis=1) / board)
    parts += [positions.length[:, None] / board**2, positions.hunger[:, None]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def legal(positions: Positions, board: int) -> Bools:
    """Which moves do not end the game at once; where all do, all but the one straight back. Shape (N, 4)."""
    rows = np.arange(len(positions.head))[:, None]
    mask: Bools = positions.remaining[rows, positions.head[:, None] + deltas(board)] <= 1
    lost = np.flatnonzero(~mask.any(axis=1))
    if lost.size:
        mask[lost] = True
        mask[lost, positions.direction[lost] ^ 2] = False
    return mask


@cache
def deltas(board: int) -> Ints:
    """What is added to a cell by a step up, right, down and left."""
    return np.array([-board - 2, 1, board + 2, -1], np.intp)


@cache
def _rays(board: int) -> Ints:
    """For each cell and direction the cells ahead up to the wall, which is repeated; shape (cells, 4, board)."""
    width = board + 2
    cells = np.arange(width * width)
    inside: Bools = np.zeros(width * width, np.bool_)
    inside.reshape(width, width)[1:-1, 1:-1] = True
    rays: Ints = np.zeros((width * width, 4, board), np.intp)
    for direction, delta in enumerate(deltas(board)):
        ahead = cells
        for step in range(board):
            ahead = np.where(inside[ahead], ahead + delta, ahead)
            rays[:, direction, step] = ahead
    return rays

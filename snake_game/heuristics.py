"""Players that follow a rule, each with its reason in one sentence of plain English.

Those that search keep to the way that they found. One player serves one game at a time; `choose` sees by itself
when the game is another or has gone on without it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

from shared_utils.errors import ConfigurationError
from shared_utils.settings import nearest
from snake_game.game import DIRECTIONS, Game, Move, Player
from snake_game.hamiltonian import Hamiltonian, most_room
from snake_game.searches import deep_way, earliest_way, shortest_way, tail_is_reachable


class _WayKeeper:
    """Follows a way until it is used up, and looks for the next from where the snake then is."""

    def __init__(self) -> None:
        self._way: list[int] = []
        self._expected: tuple[Game, int] | None = None

    def choose(self, game: Game) -> Move:
        """The next move, and why."""
        is_on_the_way = self._expected is not None and self._expected[0] is game and self._expected[1] == game.steps
        if not is_on_the_way or not self._way:
            self._way = self._find_way(game)
        if not self._way:
            return most_room(game, "No free way leads to the apple now")
        steps = len(self._way)
        self._expected = (game, game.steps + 1)
        return Move(direction := self._way.pop(), self._reason(DIRECTIONS[direction], steps))

    def _find_way(self, game: Game) -> list[int]:
        raise NotImplementedError

    def _reason(self, direction: str, steps: int) -> str:
        raise NotImplementedError


class BreadthFirst(_WayKeeper):
    """Takes a shortest free way to the apple, as the snake lies when the apple appears, and looks no further."""

    def _find_way(self, game: Game) -> list[int]:
        return _static_way(game, shortest_way)

    def _reason(self, direction: str, steps: int) -> str:
        return f"Go {direction}: the shortest free way to the apple begins there and takes {_steps(steps)}."


class DepthFirst(_WayKeeper):
    """Takes the first way to the apple that depth-first search finds, often a long one, and keeps to it."""

    def _find_way(self, game: Game) -> list[int]:
        return _static_way(game, deep_way)

    def _reason(self, direction: str, steps: int) -> str:
        return f"Go {direction}: the way that was found first leads there and reaches the apple in {_steps(steps)}."


class AStar(_WayKeeper):
    """Takes the earliest way through cells that are free in time, if the tail can be reached after the apple.

    Where it cannot, the snake follows its own tail for a while, which is always safe, and looks again. When half of the
    game's patience is used up, it goes without that care.
    """

    def __init__(self) -> None:
        super().__init__()
        self._goes_to_apple = True

    def _find_way(self, game: Game) -> list[int]:
        way = earliest_way(game, game.apple)
        self._goes_to_apple = way is not None
        if way is not None and (2 * game.hungry > game.patience or tail_is_reachable(_body_after(game, way), game)):
            return way
        to_tail = _static_way(game, shortest_way, game.body[0])
        if not to_tail:
            return way or []
        self._goes_to_apple = False
        return _along_the_body(game, to_tail)

    def _reason(self, direction: str, steps: int) -> str:
        if self._goes_to_apple:
            return f"Go {direction}: the apple is {_steps(steps)} away through cells that are free in time."
        return f"Go {direction}, after the tail, because the way to the apple would be a trap or is closed."


class Greedy:
    """Takes the legal move that comes nearest to the apple, straight on where several do."""

    def choose(self, game: Game) -> Move:
        """The next move, and why."""
        row, column = game.place(game.apple)

        def distance(direction: int) -> tuple[int, bool]:
            head_row, head_column = game.place(game.body[-1] + game.deltas[direction])
            return abs(head_row - row) + abs(head_column - column), direction != game.direction

        best = min(game.legal_moves(), key=distance)
        return Move(best, f"Go {DIRECTIONS[best]}: of the legal moves it comes nearest to the apple.")


class Random:
    """Takes any legal move.

    Args:
        seed: start of the choices.
    """

    def __init__(self, seed: int | str | None = None) -> None:
        self._random = random.Random(seed)

    def choose(self, game: Game) -> Move:
        """The next move, and why."""
        direction = self._random.choice(game.legal_moves())
        return Move(direction, f"Go {DIRECTIONS[direction]}: it is one of the legal moves.")


HEURISTICS: dict[str, Callable[[], Player]] = {
    "bfs": BreadthFirst,
    "astar": AStar,
    "dfs": DepthFirst,
    "hamiltonian": Hamiltonian,
    "greedy": Greedy,
    "random": Random,
}


def make_heuristic(name: str, seed: int | str | None = None) -> Player:
    """A player for one game at a time.

    Args:
        name: bfs, astar, dfs, hamiltonian, greedy or random.
        seed: start of the choices of `random`; the others make none.

    Raises:
        ConfigurationError: there is no such heuristic; names the nearest.
    """
    if name not in HEURISTICS:
        guess = nearest(name, HEURISTICS)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(HEURISTICS)}"
        raise ConfigurationError(f"unknown algorithm: {name}", hint=hint)
    return Random(seed) if name == "random" else HEURISTICS[name]()


def _static_way(
    game: Game,
    search: Callable[[bytearray, tuple[int, int, int, int], int, int], list[int] | None],
    goal: int | None = None,
) -> list[int]:
    """A way around the snake as it lies to the goal, which is mostly the apple; its tail, which moves on, is free."""
    blocked = bytearray(game.blocked)
    blocked[game.body[0]] = 0
    return search(blocked, game.deltas, game.body[-1], game.apple if goal is None else goal) or []


def _body_after(game: Game, way: list[int]) -> list[int]:
    """The cells of the snake, tail first, once it has gone a way at whose end it ate."""
    cells = list(game.body)
    for direction in reversed(way):
        cells.append(cells[-1] + game.deltas[direction])
    return cells[-len(game.body) - 1 :]


def _along_the_body(game: Game, to_tail: list[int]) -> list[int]:
    """A way to the tail and then where the tail goes, as far as the board is wide; the last move first."""
    cells = list(game.body)[: game.size + 1]
    follow = [game.deltas.index(after - before) for before, after in pairwise(cells)]
    return follow[::-1] + to_tail


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"

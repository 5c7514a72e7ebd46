"""A loop through all cells of the board, and the player that follows it and cuts corners where that is safe."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from snake_game.game import DIRECTIONS, Game, Move
from snake_game.searches import room, way_back

# Shortcuts leave gaps between the cells of the snake, which it can only fill a turn of the loop later. Mean steps of a
# won game of 10x10 by the share of the board up to which they are taken: 0.3: 1617, 0.5: 1430, 0.7: 1587, 1: 2243.
SHORTCUTS_UNTIL = 0.5


class Hamiltonian:
    """Follows a loop through all cells, with shortcuts, and wins every game from the usual start.

    A snake whose cells lie along the loop in order, tail before head, always finds the next cell of the loop free or
    left by its tail. A shortcut jumps forward on the loop, never past the apple or the tail, so it keeps that order; of
    all ways that do, the one with the fewest steps is taken. Which way round the loop is followed is chosen by the
    snake as it lies at first: its three cells are in order one way or the other.
    """

    def __init__(self) -> None:
        self._turn = 0  # 1: along the loop; -1: against it; 0: the snake does not lie in order
        self._way: list[int] = []
        self._expected: tuple[Game, int] | None = None

    def choose(self, game: Game) -> Move:
        """The next move, and why."""
        if self._expected is None or self._expected[0] is not game or self._expected[1] != game.steps:
            self._turn, self._way = _turn_in_order(game), []
        self._expected = (game, game.steps + 1)
        if not self._turn:
            return most_room(game, "The snake does not lie along a loop through all cells")
        if not self._way:
            takes_shortcuts = len(game.body) <= SHORTCUTS_UNTIL * game.cells
            self._way = (takes_shortcuts and _way_in_order(game, self._turn)) or _next_on_loop(game, self._turn)
        numbers, length = loop_numbers(game.size)
        direction, here = self._way.pop(), numbers[game.body[-1]]
        cell = game.body[-1] + game.deltas[direction]
        skipped = (numbers[cell] - here) * self._turn % length - 1
        to_apple = (numbers[game.apple] - here) * self._turn % length or length
        return Move(direction, _reason(direction, skipped, to_apple, cell == game.apple))


def most_room(game: Game, why: str) -> Move:
    """The legal move behind which most cells can be reached; for want of a way that can be trusted."""
    blocked = bytearray(game.blocked)
    blocked[game.body[0]] = 0
    cells = {direction: game.body[-1] + game.deltas[direction] for direction in game.legal_moves()}
    rooms = {direction: 0 if blocked[cell] else room(blocked, game.deltas, cell) for direction, cell in cells.items()}
    best = max(rooms, key=lambda direction: rooms[direction])
    if not rooms[best]:
        return Move(best, f"{why}, and every move ends the game.")
    count = "1 cell" if rooms[best] == 1 else f"{rooms[best]} cells"
    return Move(best, f"{why}, so go {DIRECTIONS[best]}, where {count} can be reached.")


@cache
def loop_numbers(size: int) -> tuple[list[int], int]:
    """The place of each cell on the loop, by cell, and the length of the loop.

    On a board of even size the loop goes down the left column and back in columns up and down. A board of odd size has
    no loop through all cells. There the loop leaves one out: between its neighbours it can go either by the cell in
    the upper right corner or by the one diagonally below, so both have the same number.
    """
    last = size - 1
    loop = [(row, 0) for row in range(size)]
    columns = range(1, size if size % 2 == 0 else size - 2)
    for column in columns:
        rows = range(1, size)
        loop += [(row, column) for row in (reversed(rows) if column % 2 else rows)]
    if size % 2:
        for row in range(last, 0, -1):
            pair = [(row, last - 1), (row, last)]
            loop += pair if (last - row) % 2 == 0 else pair[::-1]
    loop += [(0, column) for column in range(last - size % 2, 0, -1)]
    numbers = [0] * (size + 2) ** 2
    for number, (row, column) in enumerate(loop):
        numbers[(row + 1) * (size + 2) + column + 1] = number
    if size % 2:
        numbers[size + 2 + last + 1] = numbers[2 * (size + 2) + last]
    return numbers, len(loop)


def _turn_in_order(game: Game) -> int:
    """1 or -1: which way round the snake lies along the loop, in less than one turn, tail first; 0: neither."""
    numbers, length = loop_numbers(game.size)
    places = [numbers[cell] for cell in game.body]
    steps = [(after - before) % length for before, after in pairwise(places)]
    if all(steps) and sum(steps) < length:
        return 1
    return -1 if all(steps) and sum(length - step for step in steps) < length else 0


def _way_in_order(game: Game, turn: int) -> list[int]:
    """The fewest steps to the apple that go forward on the loop and keep behind the tail, as it moves; last move first.

    Breadth first. In step t the tail comes to the body's cell number t, so the head may go up to there.
    """
    numbers, length = loop_numbers(game.size)
    body, deltas, head, apple = list(game.body), game.deltas, game.body[-1], game.apple
    here, walls = numbers[head], game.blocked
    to_apple = (numbers[apple] - here) * turn % length or length
    is_last_apple = len(body) == game.cells - 1
    to_tail = [(numbers[cell] - here) * turn % length or length for cell in body]
    to_tail[-1] = length  # the head itself comes round after a whole turn
    came_by, frontier, step = {head: -1}, [(head, 0)], 0
    while frontier:
        step += 1
        limit = to_tail[step] if step < len(body) else length
        eating_limit = to_tail[step - 1] + is_last_apple if step <= len(body) else length
        reached = []
        for cell, gone in frontier:
            for direction, delta in enumerate(deltas):
                after = cell + delta
                if after in came_by or walls[after] == 2:
                    continue
                distance = (numbers[after] - here) * turn % length
                if after == apple and to_apple < eating_limit and gone < to_apple:
                    came_by[after] = direction
                    return way_back(came_by, deltas, apple)
                if gone < distance < to_apple and distance < limit:
                    came_by[after] = direction
                    reached.append((after, distance))
        frontier = reached
    return []


def _next_on_loop(game: Game, turn: int) -> list[int]:
    """The step to the next cell of the loop.

    On a board of odd size two cells may be next. Then it is the one with the apple, but not while the tail lies in the
    other: a snake that eats keeps its tail, and would have two cells with one number. The last apple may be eaten so.
    """
    numbers, length = loop_numbers(game.size)
    head, tail = game.body[-1], game.body[0]
    may_eat = numbers[tail] != numbers[game.apple] or len(game.body) == game.cells - 1
    nexts = [
        (head + delta == game.apple, direction)
        for direction, delta in enumerate(game.deltas)
        if (numbers[head + delta] - numbers[head]) * turn % length == 1
        and (not game.blocked[head + delta] or head + delta == tail)
        and (may_eat or head + delta != game.apple)
    ]
    return [max(nexts)[1]]


def _reason(direction: int, skipped: int, to_apple: int, is_apple: bool) -> str:
    name = DIRECTIONS[direction]
    if is_apple:
        return f"Go {name}: the apple is there, and the loop through all cells goes on behind it."
    if skipped:
        return f"Go {name}, a shortcut that skips {skipped} of the {to_apple} cells to the apple on the loop."
    return f"Go {name}, the next cell of the loop through all cells; the apple is {to_apple} cells ahead on it."

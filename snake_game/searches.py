"""Searches over the free cells of a board: ways to a cell, and what can be reached.

A way is a list of directions, the last move first, so that `pop` gives the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from snake_game.game import Game


def shortest_way(blocked: bytearray, deltas: Sequence[int], start: int, goal: int) -> list[int] | None:
    """A shortest way by breadth-first search; None where there is none. The goal itself may be blocked."""
    came_by = {start: -1}
    frontier = [start]
    while frontier:
        reached = []
        for cell in frontier:
            for direction, delta in enumerate(deltas):
                after = cell + delta
                if after in came_by:
                    continue
                if after == goal:
                    came_by[after] = direction
                    return way_back(came_by, deltas, goal)
                if not blocked[after]:
                    came_by[after] = direction
                    reached.append(after)
        frontier = reached
    return None


def deep_way(blocked: bytearray, deltas: Sequence[int], start: int, goal: int) -> list[int] | None:
    """The way that depth-first search finds, tried up, right, down, left at each cell; None where there is none."""
    came_by = {start: -1}
    stack = [start]
    tried = {start: 0}
    while stack:
        cell = stack[-1]
        direction = tried[cell]
        if direction == 4:
            stack.pop()
            continue
        tried[cell] = direction + 1
        after = cell + deltas[direction]
        if after == goal:
            came_by[after] = direction
            return way_back(came_by, deltas, goal)
        if after not in came_by and not blocked[after]:
            came_by[after] = direction
            tried[after] = 0
            stack.append(after)
    return None


def earliest_way(game: Game, goal: int) -> list[int] | None:
    """A way by A* (Hart, Nilsson and Raphael 1968) through cells that will be free when the head comes there.

    The body's cell number i from the tail is left in step i + 1, as long as nothing is eaten. Each cell is entered at
    the earliest moment only; waiting for one by a detour is not tried. The estimate is the distance without obstacles.
    """
    free_from = {cell: index + 1 for index, cell in enumerate(game.body)}
    deltas, blocked, width = game.deltas, game.blocked, game.size + 2
    start, (goal_row, goal_column) = game.body[-1], divmod(goal, width)
    came_by = {start: -1}
    # Of equal estimates the cell that is farther on is taken: it is nearer to the goal.
    queue = [(0, 0, start)]
    while queue:
        _, negative_steps, cell = heappop(queue)
        if cell == goal:
            return way_back(came_by, deltas, goal)
        steps = 1 - negative_steps
        for direction, delta in enumerate(deltas):
            after = cell + delta
            if after in came_by or blocked[after] == 2 or free_from.get(after, 0) > steps:
                continue
            came_by[after] = direction
            row, column = divmod(after, width)
            heappush(queue, (steps + abs(row - goal_row) + abs(column - goal_column), -steps, after))
    return None


def room(blocked: bytearray, deltas: Sequence[int], start: int) -> int:
    """How many free cells can be reached from a cell, itself included."""
    seen = {start}
    stack = [start]
    while stack:
        cell = stack.pop()
        for delta in deltas:
            after = cell + delta
            if not blocked[after] and after not in seen:
                seen.add(after)
                stack.append(after)
    return len(seen)


def tail_is_reachable(body: Sequence[int], game: Game) -> bool:
    """Whether a snake that lies so, tail first, finds a way to its tail; its other cells count as walls."""
    blocked = bytearray(game.blocked)
    for cell in game.body:
        blocked[cell] = 0
    for cell in body:
        blocked[cell] = 1
    blocked[body[0]] = 0
    return shortest_way(blocked, game.deltas, body[-1], body[0]) is not None


def way_back(came_by: dict[int, int], deltas: Sequence[int], goal: int) -> list[int]:
    """The directions by which a goal was reached, last one first.

    Args:
        came_by: cell -> direction of the step into it; -1 for the start.
    """
    way, cell = [], goal
    while (direction := came_by[cell]) >= 0:
        way.append(direction)
        cell -= deltas[direction]
    return way

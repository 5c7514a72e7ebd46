"""Positions of Snake as questions to a language model, and what its moves are worth.

The question is the one that `snake generate` records and `snake evaluate` asks; the answer is read by the same strict
rule: its first word is a move, or it names none.

    -1    no move, or one that ends the game at once or goes straight back
     0    legal, but neither on a shortest way to the apple nor safe
     0.5  on a shortest way, or safe (behind it the head still finds a way to the tail)
     1    both

A reward of right and wrong alone would be the same for most groups of answers to a question, and GRPO learns nothing
from a group whose answers are worth the same. The steps in between tell a legal move from none, and of two right moves
the better one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count as numbers_from
from itertools import islice
from typing import Any

from shared_utils.language_tasks import Judgement, Question
from snake_game import board_text
from snake_game.board_text import INSTRUCTION, parse_answer
from snake_game.game import DIRECTIONS, Game
from snake_game.heuristics import make_heuristic
from snake_game.positions import safe_moves, shortest_moves

ILLEGAL, LEGAL, SHORTEST_OR_SAFE, SHORTEST_AND_SAFE = -1.0, 0.0, 0.5, 1.0
PLAYERS = ("bfs", "astar", "dfs", "hamiltonian", "greedy")
LATEST = 8  # times the side of the board: steps of a game that are at most passed over
GIVE_UP = 200  # games in a row without a new position: the board has hardly more


class SnakeTask:
    """Single decisions on boards of one size.

    Args:
        board: cells a side.
    """

    # The first word decides. A move is one or two tokens with usual vocabularies; more would be noise to learn from.
    answer_tokens = 3

    def __init__(self, board: int) -> None:
        self.board = board

    def questions(self, count: int, seed: int) -> list[Question]:
        """Different positions from games of several heuristics; in each a legal move is right and one is wrong.

        Such positions come up some way into a game, so beginnings are not among them.
        """
        return list(islice(self._positions(seed), count))

    def judge(self, question: Question, answer: str) -> Judgement:
        """What an answer is worth, see above; right is a move on a shortest way or a safe one."""
        direction = parse_answer(answer.strip())
        move = None if direction is None else DIRECTIONS[direction]
        facts = question.facts
        is_legal = move in facts["legal"]
        good = (move in facts["shortest"]) + (move in facts["safe"])
        reward = (LEGAL, SHORTEST_OR_SAFE, SHORTEST_AND_SAFE)[good] if is_legal else ILLEGAL
        return Judgement(reward, good > 0, is_legal)

    def _positions(self, seed: int) -> Iterator[Question]:
        draw = random.Random(f"questions:{self.board}:{seed}")
        seen: set[str] = set()
        idle = 0
        for number in numbers_from():
            found = self._position(PLAYERS[number % len(PLAYERS)], draw)
            idle += 1
            if found is not None and found[0] not in seen:
                text, facts = found
                seen.add(text)
                idle = 0
                place = f"{self.board}x{self.board}-{seed}-{len(seen)}"
                yield Question(place, f"{INSTRUCTION}\n\n{text}", facts)
            if idle == GIVE_UP:
                return

    def _position(self, name: str, draw: random.Random) -> tuple[str, dict[str, Any]] | None:
        """The first position from a moment by chance on that parts right moves from wrong ones, of one game."""
        game = Game(self.board, draw.randrange(2**32))
        player = make_heuristic(name)
        first = draw.randrange(LATEST * self.board)
        while not game.end:
            if game.steps >= first:
                legal, shortest, safe = game.legal_moves(), shortest_moves(game), safe_moves(game)
                right = {*shortest, *safe}
                if right and set(legal) - right:
                    moves = {"legal": legal, "shortest": shortest, "safe": safe}
                    facts = {name: [DIRECTIONS[move] for move in chosen] for name, chosen in moves.items()}
                    return board_text.question(game), {"board": self.board, **facts}
            direction, _ = player.choose(game)
            assert direction is not None  # a heuristic always knows
            game.step(direction)
        return None

"""Games that are played by somebody, one after another or many at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from snake_game.game import Game, Move, Player


@dataclass(frozen=True)
class GameResult:
    """How a game went; `invalid` counts moves straight back and answers that name no move."""

    score: int
    steps: int
    end: str
    invalid: int = 0


class BatchPlayer(Player, Protocol):
    """A player that answers many games at once, and keeps nothing in mind between moves."""

    def choose_all(self, games: Sequence[Game]) -> list[Move]:
        """The next move of each game."""
        ...


def play(game: Game, player: Player) -> GameResult:
    """Play to the end. An answer that names no move is counted as invalid, and the snake goes straight on."""
    unclear = 0
    while not game.end:
        unclear += not _make(game, player.choose(game))
    return _result(game, unclear)


def play_all(games: Sequence[Game], player: BatchPlayer, advance: Callable[[int], None]) -> list[GameResult]:
    """Play many games at the same time; `advance` is told how many have ended."""
    unclear = [0] * len(games)
    running = list(range(len(games)))
    while running:
        for index, move in zip(running, player.choose_all([games[index] for index in running]), strict=True):
            unclear[index] += not _make(games[index], move)
        left = [index for index in running if not games[index].end]
        advance(len(running) - len(left))
        running = left
    return [_result(game, count) for game, count in zip(games, unclear, strict=True)]


def replay(board: int, seed: str, directions: Sequence[int]) -> Iterator[Game]:
    """A game at its start and after each step; always the same object."""
    game = Game(board, seed)
    yield game
    for direction in directions:
        game.step(direction)
        yield game


def _make(game: Game, move: Move) -> bool:
    """Make a move; False where there is none, and the snake goes straight on."""
    game.step(game.direction if move.direction is None else move.direction)
    return move.direction is not None


def _result(game: Game, unclear: int) -> GameResult:
    return GameResult(game.score, game.steps, game.end, game.invalid + unclear)

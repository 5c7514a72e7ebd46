"""Players of Snake measured: games to the end, and single decisions in fixed positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.game_metrics import (
    detectable_differences,
    mean_difference,
    mean_interval,
    share_difference,
    share_interval,
)
from evaluation.significance import Interval
from snake_game.game import START_LENGTH, Game
from snake_game.matches import GameResult, play, play_all
from snake_game.positions import Position
from workflows.snake_players import Contestant

GAMES_AT_ONCE = 64


@dataclass(frozen=True)
class Measurement:
    """How players are measured.

    Attributes:
        board: cells a side.
        games: of each player.
        positions: those in which decisions are measured; may be empty.
        confidence: coverage of the intervals; `resamples`: of the bootstrap behind them.
        seed: start of the apples and of everything else that is drawn.
    """

    board: int
    games: int
    positions: Sequence[Position]
    confidence: float
    resamples: int
    seed: int


def game_seed(player: str, board: int, seed: int, number: int) -> str:
    """What starts the apples of a game; every player has games of its own."""
    return f"{player}:{board}:{seed}:{number}"


def play_games(player: Contestant, plan: Measurement, advance: Callable[[int], None]) -> list[GameResult]:
    """The games of one player; `advance` is told how many have ended."""
    seeds = [game_seed(player.name, plan.board, plan.seed, number) for number in range(plan.games)]
    results: list[GameResult] = []
    if player.batch is not None:
        for group in _groups(seeds, GAMES_AT_ONCE):
            results += play_all([Game(plan.board, seed) for seed in group], player.batch, advance)
        return results
    for seed in seeds:
        results.append(play(Game(plan.board, seed), player.new_player(seed)))
        advance(1)
    return results


def measure_player(player: Contestant, plan: Measurement, results: Sequence[GameResult]) -> dict[str, Any]:
    """Each figure of one player with its interval."""
    wins = sum(result.end == "won" for result in results)
    moves = sum(result.steps for result in results)
    invalid = sum(result.invalid for result in results)
    means = {"mean_score": [result.score for result in results], "mean_steps": [result.steps for result in results]}
    figures = {
        "kind": player.kind,
        "games": len(results),
        "win_rate": _told(share_interval(wins, len(results), plan.confidence)),
        **{
            name: _told(mean_interval(values, plan.confidence, plan.resamples, plan.seed))
            for name, values in means.items()
        },
        "best_score": max(result.score for result in results),
        "invalid_moves": {"count": invalid, "moves": moves, "share": round(invalid / moves, 6)},
        "ends": dict(sorted(Counter(result.end for result in results).items())),
        "detectable": _detectable(results, results, plan),
    }
    return figures | _decisions(player, plan)


def compare_players(
    names: Sequence[str], results: Sequence[Sequence[GameResult]], plan: Measurement
) -> list[dict[str, Any]]:
    """Each later player minus the first one, with what so many games could have shown."""
    baseline, first = names[0], results[0]
    comparisons = []
    for name, games in zip(names[1:], results[1:], strict=True):
        wins, first_wins = (sum(result.end == "won" for result in group) for group in (games, first))
        scores, first_scores = _scores(games), _scores(first)
        difference = mean_difference(scores, first_scores, plan.confidence, plan.resamples, plan.seed)
        rate = share_difference(wins, len(games), first_wins, len(first), plan.confidence)
        comparisons.append(
            {
                "a": name,
                "b": baseline,
                "mean_score": _told(difference) | {"verdict": _verdict(difference)},
                "win_rate": _told(rate) | {"verdict": _verdict(rate)},
                "detectable": _detectable(games, first, plan),
            }
        )
    return comparisons


def _decisions(player: Contestant, plan: Measurement) -> dict[str, Any]:
    """How many moves in the fixed positions are right, and how many of either kind of right."""
    if not plan.positions:
        return {"decision_accuracy": None}
    games = [position.game() for position in plan.positions]
    if player.batch is not None:
        moves = [move for group in _groups(games, GAMES_AT_ONCE) for move in player.batch.choose_all(group)]
    else:
        moves = [player.new_player(f"positions:{plan.seed}").choose(game) for game in games]
    n = len(moves)
    directions = [move.direction for move in moves]
    pairs = list(zip(directions, plan.positions, strict=True))
    right = sum(direction in position.shortest | position.safe for direction, position in pairs)
    return {
        "decision_accuracy": _told(share_interval(right, n, plan.confidence)) | {"positions": n},
        "shortest_share": round(sum(direction in position.shortest for direction, position in pairs) / n, 6),
        "safe_share": round(sum(direction in position.safe for direction, position in pairs) / n, 6),
    }


def _groups(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _told(interval: Interval) -> dict[str, float | None]:
    """The interval for JSON; infinite bounds (of a single game) become null."""
    bounds = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: round(bound, 6) if abs(bound) != float("inf") else None for name, bound in bounds.items()}


def _scores(results: Sequence[GameResult]) -> list[float]:
    return [float(result.score) for result in results]


def _detectable(a: Sequence[GameResult], b: Sequence[GameResult], plan: Measurement) -> dict[str, float | None]:
    found = detectable_differences(_scores(a), _scores(b), plan.confidence)
    return {name: None if value is None else round(value, 6) for name, value in asdict(found).items()}


def _verdict(difference: Interval) -> str:
    if not difference.excludes_zero:
        return "no difference found"
    return "better" if difference.value > 0 else "worse"


def evaluate_players(
    openers: Mapping[str, Callable[[], Contestant]], plan: Measurement, advance: Callable[[int], None]
) -> dict[str, Any]:
    """All figures of all players, and the comparison of each with the first; what `snake evaluate --json` prints.

    Args:
        openers: name -> what loads the player; one is in memory at a time.
        plan: how they are measured.
        advance: told how many games have ended.
    """
    results: list[list[GameResult]] = []
    players: dict[str, dict[str, Any]] = {}
    for name, load in openers.items():
        player = load()
        results.append(play_games(player, plan, advance))
        players[name] = measure_player(player, plan, results[-1])
        del player
    return {
        "board": plan.board,
        "games": plan.games,
        "most_score": plan.board**2 - START_LENGTH,
        "confidence": plan.confidence,
        "seed": plan.seed,
        "players": players,
        "comparisons": compare_players(list(openers), results, plan),
    }


def write_report(summary: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines for people."""
    board, percent = summary["board"], f"{summary['confidence']:.0%}"
    yield (
        f"{summary['games']} games of each player on {board}x{board}, where {summary['most_score']} apples win; "
        f"in brackets {percent} intervals"
    )
    for name, row in summary["players"].items():
        invalid = row["invalid_moves"]
        yield f"{name} ({row['kind']})"
        yield f"  won               {_percent(row['win_rate'])}"
        yield f"  score             {_number(row['mean_score'])}, best {row['best_score']}"
        yield f"  steps             {_number(row['mean_steps'])}"
        yield f"  invalid moves     {invalid['count']} of {invalid['moves']} ({invalid['share']:.1%})"
        if row["decision_accuracy"]:
            yield (
                f"  right decisions   {_percent(row['decision_accuracy'])} in {row['decision_accuracy']['positions']} "
                f"positions: {row['shortest_share']:.1%} shortest ways, {row['safe_share']:.1%} safe moves"
            )
    for pair in summary["comparisons"]:
        score, rate = pair["mean_score"], pair["win_rate"]
        yield f"{pair['a']} against {pair['b']}"
        yield f"  score             {_number(score, '+')}: {score['verdict']}"
        yield f"  won               {_percent(rate, '+')}: {rate['verdict']}"
        yield f"  so many games show {_reach(pair['detectable'])}"
    if not summary["comparisons"]:
        reach = _reach(next(iter(summary["players"].values()))["detectable"])
        yield f"beside a player whose scores scatter as much, so many games show {reach}"


def _reach(detectable: Mapping[str, float | None]) -> str:
    apples = detectable["mean_score"]
    score = "" if apples is None else f"{apples:.2f} apples and "
    return f"differences of {score}{100 * (detectable['win_rate'] or 0):.0f} points of the win rate in 4 of 5 trials"


def _percent(figure: Mapping[str, Any], sign: str = "") -> str:
    return (
        f"{figure['value']:{sign}.1%} ({_bound(figure['low'], '.1%', sign)} to {_bound(figure['high'], '.1%', sign)})"
    )


def _number(figure: Mapping[str, Any], sign: str = "") -> str:
    return (
        f"{figure['value']:{sign}.2f} ({_bound(figure['low'], '.2f', sign)} to {_bound(figure['high'], '.2f', sign)})"
    )


def _bound(value: float | None, form: str, sign: str) -> str:
    return "unknown" if value is None else f"{value:{sign}{form}}"

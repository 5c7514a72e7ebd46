"""Who can play Snake: a heuristic by its name, a trained agent or a language model by its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared_utils.errors import DataValidationError
from shared_utils.records import Message
from snake_game.board_text import INSTRUCTION, parse_answer, question
from snake_game.game import Game, Move, Player
from snake_game.heuristics import HEURISTICS, make_heuristic
from snake_game.matches import BatchPlayer

MOVE_TOKENS = 8  # the first line of an answer is the move; more are only needed to show the reason
REASON_TOKENS = 64


@dataclass(frozen=True)
class Contestant:
    """Somebody who plays.

    Attributes:
        name: as it was given.
        kind: heuristic, agent or language model.
        new_player: makes a player for one game from the seed of its choices.
        batch: plays many games at once; None for heuristics, which keep their plan of one game in mind.
    """

    name: str
    kind: str
    new_player: Callable[[str], Player]
    batch: BatchPlayer | None = None


class LanguageModelPlayer:
    """Asks a language model for each move, with the words that the training records use.

    An answer whose first word is not a move is told as `Move(None, answer)`.

    Args:
        model_name: starter, a model, adapter or run folder, or a hub name.
        device: auto, cpu, cuda or mps.
        batch_size: games asked about at once.
        max_new_tokens: longest answer.
    """

    def __init__(self, model_name: str, device: str = "auto", batch_size: int = 16, max_new_tokens: int = 8) -> None:
        from shared_utils.model_utils import load_model, load_tokenizer

        self._name = model_name
        self._tokenizer = load_tokenizer(model_name)
        self._model: Any = load_model(model_name, device)
        self._batch_size, self._max_new_tokens = batch_size, max_new_tokens

    def choose(self, game: Game) -> Move:
        """The model's move and its whole answer."""
        return self.choose_all([game])[0]

    def choose_all(self, games: Sequence[Game]) -> list[Move]:
        """The model's move in each game."""
        from evaluation.language_metrics import generate_answers

        prompts = [messages_about(game) for game in games]
        self._check_context(prompts[0], games[0].size)
        answers = generate_answers(self._model, self._tokenizer, prompts, self._max_new_tokens, self._batch_size)
        return [Move(parse_answer(text), " ".join(text.split())) for text in answers]

    def _check_context(self, prompt: list[Message], board: int) -> None:
        """A question that is cut at its beginning has lost the board, and its answer would measure nothing.

        Raises:
            DataValidationError: the context of the model is too short for boards of this size.
        """
        from shared_utils.prompt_formats import encode_prompt

        context = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        tokens = len(encode_prompt(self._tokenizer, prompt)) if context is not None else 0
        if context is not None and tokens + self._max_new_tokens > context:
            raise DataValidationError(
                f"a question about a board of {board}x{board} has {tokens} tokens; the context of {self._name} "
                f"holds {context}",
                hint="take a smaller --board, or another model",
            )


def messages_about(game: Game) -> list[Message]:
    """What a language model is asked about a position: what training reads from a record of it, but for the answer."""
    return [{"role": "user", "content": f"{INSTRUCTION}\n\n{question(game)}"}]


def heuristic(name: str) -> Contestant:
    """A heuristic.

    Raises:
        ConfigurationError: there is none of this name.
    """
    make_heuristic(name)
    return Contestant(name, "heuristic", lambda seed: make_heuristic(name, seed))


def language_model(
    name: str, place: str, device: str = "auto", batch_size: int = 16, max_new_tokens: int = MOVE_TOKENS
) -> Contestant:
    """A language model; `place` is what is loaded for `name`.

    Raises:
        LLMToolkitError: there is no such model.
    """
    player = LanguageModelPlayer(place, device, batch_size, max_new_tokens)
    return Contestant(name, "language model", lambda seed: player, player)


def is_heuristic(name: str) -> bool:
    """Whether a name is that of a heuristic."""
    return name in HEURISTICS

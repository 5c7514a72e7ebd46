"""How long a text is: in tokens, words or characters."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shared_utils.errors import ConfigurationError, missing_package

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STARTER_TOKENIZER = Path(__file__).resolve().parents[1] / "starter_model" / "files" / "tokenizer.json"

# In scripts without spaces each character counts as a word, or a whole page would be one. For the same
# reason a word counts anew after each 64 characters.
_WORD = re.compile(
    "[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\\s\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{1,64}"
)


class LengthCounter(Protocol):
    """Counts a text in one unit.

    Attributes:
        unit: the name of what is counted.
        adds_up: whether a text cut in front of white space has exactly the length of its parts.
        counts_space: whether white space in front of a sentence adds to its length.
    """

    unit: str
    adds_up: bool
    counts_space: bool

    def count(self, text: str) -> int:
        """The length of the text."""

    def count_many(self, texts: list[str]) -> list[int]:
        """The length of each text."""

    def starts(self, text: str) -> list[int]:
        """For each token, word or character the position of its first character."""


class CharacterCounter:
    """Counts Unicode characters."""

    unit = "characters"
    adds_up = True
    counts_space = True

    def count(self, text: str) -> int:
        """The number of characters."""
        return len(text)

    def count_many(self, texts: list[str]) -> list[int]:
        """The number of characters of each text."""
        return [len(text) for text in texts]

    def starts(self, text: str) -> list[int]:
        """Every position."""
        return list(range(len(text)))


class WordCounter:
    """Counts words; a Chinese or Japanese character is a word."""

    unit = "words"
    adds_up = True
    counts_space = False

    def count(self, text: str) -> int:
        """The number of words."""
        return sum(1 for _ in _WORD.finditer(text))

    def count_many(self, texts: list[str]) -> list[int]:
        """The number of words of each text."""
        return [self.count(text) for text in texts]

    def starts(self, text: str) -> list[int]:
        """Where each word begins."""
        return [word.start() for word in _WORD.finditer(text)]


class TokenCounter:
    """Counts the tokens of a model's tokenizer, without the ones it adds around a text."""

    unit = "tokens"
    counts_space = False  # in the usual tokenizers a space is a part of the word behind it

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.adds_up = _cuts_before_space(tokenizer)

    def count(self, text: str) -> int:
        """The number of tokens."""
        return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])

    def count_many(self, texts: list[str]) -> list[int]:
        """The number of tokens of each text."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def starts(self, text: str) -> list[int]:
        """Where each token begins."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return [start for start, _ in offsets]


def _cuts_before_space(tokenizer: Tokenizer) -> bool:
    """Whether no token reaches from a visible character into white space: byte-level BPE as in GPT-2.

    Later models (Llama 3, Qwen) put line ends together with the mark in front of them.
    """
    layout = json.loads(tokenizer.to_str())
    steps = layout.get("pre_tokenizer") or {}
    kinds = steps.get("pretokenizers", [steps])
    is_byte_level = any(kind.get("type") == "ByteLevel" and kind.get("use_regex", True) for kind in kinds)
    changes_text = any(kind.get("add_prefix_space") for kind in kinds) or layout.get("normalizer") is not None
    only_known = all(kind.get("type") in ("ByteLevel", "Digits") for kind in kinds)
    return is_byte_level and only_known and not changes_text


def length_counter(unit: str, tokenizer: str = "starter") -> LengthCounter:
    """The counter for `tokens`, `words` or `characters`.

    Args:
        unit: what is counted.
        tokenizer: only for tokens: `starter`, a folder, a `tokenizer.json` or a hub name.

    Raises:
        ConfigurationError: the unit is unknown, or the tokenizer cannot be had.
    """
    if unit == "characters":
        return CharacterCounter()
    if unit == "words":
        return WordCounter()
    if unit != "tokens":
        raise ConfigurationError(f"chunk_unit: {unit!r} is unknown", hint="take tokens, words or characters")
    return TokenCounter(load_tokenizer(tokenizer))


def load_tokenizer(name: str) -> Tokenizer:
    """The fast tokenizer that `name` means; see `tokenizer_path`."""
    path = tokenizer_path(name)
    # Files are shared out among processes already; threads on top would only compete.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise missing_package("tokenizers", "counting tokens") from None
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for a file that it cannot read
        raise ConfigurationError(
            f"tokenizer: {path} is not a tokenizer file ({str(error)[:200]})",
            hint="give a tokenizer.json as written by save_pretrained",
        ) from error


def tokenizer_path(name: str) -> Path:
    """The `tokenizer.json` that `name` means: the starter model's, a file, a folder's, or one from the hub.

    Raises:
        ConfigurationError: there is none.
    """
    if name == "starter":
        return STARTER_TOKENIZER
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            return path / "tokenizer.json"
        raise ConfigurationError(
            f"tokenizer: the folder {path} holds no tokenizer.json",
            hint="save the model's fast tokenizer there",
        )
    return _hub_tokenizer_path(name)


def _hub_tokenizer_path(name: str) -> Path:
    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", name) or name.endswith(".json"):
        raise ConfigurationError(f"tokenizer: {name} does not exist", hint="check the path")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise missing_package("huggingface_hub", f"the tokenizer {name}") from None
    for local_files_only in (True, False):
        try:
            return Path(hf_hub_download(name, "tokenizer.json", local_files_only=local_files_only, etag_timeout=3))
        except Exception as error:  # the hub client has many kinds of failure; all mean "not to be had"
            failure = error
    raise ConfigurationError(
        f"tokenizer: {name} is neither a folder here nor to be had from the hub ({type(failure).__name__})",
        hint="give starter or a folder with tokenizer.json, or count with --chunk-unit words",
    ) from failure

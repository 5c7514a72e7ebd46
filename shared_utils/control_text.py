"""Text as token ids in pieces, so that nothing a person wrote becomes a control token.

Control text in a message is replaced by a mark before the template runs; every control token of the
rendered text is then the template's own. The text is cut at those, and the marks go back before encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from shared_utils.word_cache import WordCache, encodings

_FIRST_UNUSED_CODE_POINT = 0xF0000  # start of a private-use plane of Unicode
_ANCHOR = "\ue000"  # a private-use letter: nothing merges with it


class Piece(NamedTuple):
    """A part of a rendered text that is encoded on its own.

    Attributes:
        text: the part, with marks for what a person wrote like a control token.
        is_start: nothing stands before it; only there does a tokenizer put its leading space.
        mark: the character of the marks; None when there are none.
    """

    text: str
    is_start: bool
    mark: str | None = None


class ControlText:
    """The control tokens of one tokenizer, and the encoding of text around them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.tokens = sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)
        self.ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in self.tokens}
        self.pattern = re.compile("|".join(map(re.escape, self.tokens)) or r"(?!)")
        self._backend: Any = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        self._words = {split_control: WordCache(self._backend, split_control) for split_control in (False, True)}
        # Tokenizers of the SentencePiece kind put a space before a text, which must not happen in its middle.
        self._anchor_ids = self._encode([_ANCHOR], split_control=True)[0]
        anchored = self._encode([_ANCHOR + "x"], split_control=True)[0]
        self._adds_space = self._anchor_ids + self._encode(["x"], split_control=True)[0] != anchored
        self._adds_space_after_control = self._adds_space and self._spaces_after_control()

    def mark_for(self, texts: Sequence[str]) -> str | None:
        """A character for the marks, or None when no text holds a control token."""
        if not any(self.pattern.search(text) for text in texts):
            return None
        joined = "".join(texts)
        return next(chr(code) for code in range(_FIRST_UNUSED_CODE_POINT, 0x110000) if chr(code) not in joined)

    def hide(self, text: str, mark: str) -> str:
        """The text with a mark for each control token in it."""
        return self.pattern.sub(lambda match: f"{mark}{self.tokens.index(match.group())}{mark}", text)

    def restore(self, text: str, mark: str | None) -> str:
        """The text as it was written."""
        if mark is None:
            return text
        return re.sub(f"{mark}(\\d+){mark}", lambda match: self.tokens[int(match.group(1))], text)

    def encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Token ids of each piece, in order; pieces of one text joined are the ids of that text."""
        results: list[list[int]] = [[] for _ in pieces]
        plain = [index for index, piece in enumerate(pieces) if piece.mark is None]
        texts = [pieces[index].text for index in plain]
        anchored = [self._adds_space and not pieces[index].is_start for index in plain]
        for index, ids in zip(plain, self._encode_anchored(texts, anchored, split_control=False), strict=True):
            results[index] = ids
        for index, piece in enumerate(pieces):
            if piece.mark is not None:
                results[index] = self._encode_marked(piece)
        return results

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole texts, with what the tokenizer puts around them and control tokens as text."""
        return self._encode(texts, split_control=True, around=True)

    def _encode_marked(self, piece: Piece) -> list[int]:
        ids: list[int] = []
        position = 0
        after_control = False
        for match in [*self.pattern.finditer(piece.text), None]:
            text = self.restore(piece.text[position : match.start() if match else None], piece.mark)
            if text:
                has_space = self._adds_space_after_control if after_control else piece.is_start
                ids += self._encode_anchored([text], [self._adds_space and not has_space], split_control=True)[0]
            if match:
                ids.append(self.ids[match.group()])
                position, after_control = match.end(), True
        return ids

    def _encode_anchored(
        self, texts: Sequence[str], anchored: Sequence[bool], *, split_control: bool
    ) -> list[list[int]]:
        if not any(anchored):
            return self._encode(texts, split_control=split_control)
        given = [_ANCHOR + text if is_anchored else text for text, is_anchored in zip(texts, anchored, strict=True)]
        skip = len(self._anchor_ids)
        found = self._encode(given, split_control=split_control)
        return [ids[skip:] if is_anchored else ids for ids, is_anchored in zip(found, anchored, strict=True)]

    def _encode(self, texts: Sequence[str], *, split_control: bool, around: bool = False) -> list[list[int]]:
        if self._backend is None:
            encode: Callable[..., Any] = self._tokenizer
            return [
                list(encode(text, add_special_tokens=around, split_special_tokens=split_control)["input_ids"])
                for text in texts
            ]
        if not around:
            return self._words[split_control].encode(texts)
        return [one.ids for one in encodings(self._backend, texts, split_control=split_control, around=True)]

    def _spaces_after_control(self) -> bool:
        if not self.tokens:
            return True
        token = self.tokens[0]
        plain = self._encode(["x"], split_control=True)[0]
        return self._encode([token + "x"], split_control=False)[0] == [self.ids[token], *plain]

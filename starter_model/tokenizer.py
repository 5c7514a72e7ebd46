"""The tokenizer of the starter model: byte-level BPE that learns its pieces from everyday words.

Bytes are the smallest pieces, so every text survives encoding and decoding unchanged. Digits
stand alone, because a tiny model copies "1847" more reliably digit by digit.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

VOCABULARY_SIZE = 3072
CONTEXT_TOKENS = 1024
PAD, END_OF_TEXT, TURN_START, TURN_END = "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [PAD, END_OF_TEXT, TURN_START, TURN_END]
WORDS_FILE = Path(__file__).with_name("everyday_words.yaml")

# Plain ChatML: no default system text, so that what a user sends is all the model sees.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
VOWELS = "aeiou"


def build_tokenizer() -> Tokenizer:
    """A tokenizer trained on the everyday words, the same on every machine."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_lines(), trainer)
    return tokenizer


def write_tokenizer(directory: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", json.loads(build_tokenizer().to_str()), indent=None)
    write_json(directory / "tokenizer_config.json", tokenizer_config())
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8", newline="\n")


def tokenizer_config() -> dict[str, Any]:
    """What `AutoTokenizer` needs to know beyond the vocabulary."""
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": TURN_END,
        "model_max_length": CONTEXT_TOKENS,
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Writes JSON with one layout, so that two builds can be compared byte by byte."""
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def training_lines() -> Iterator[str]:
    """Each word in the places where text has it: after a space, at a line start, capitalised."""
    groups = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    for group in groups.values():
        shown: int = group["shown"]
        for text in group.get("verbatim", []):
            yield from [text] * shown
        for word in dict.fromkeys(group.get("words", "").split()):
            yield from [" " + word] * shown
            yield from [word] * (shown // 20)
            yield from [word.capitalize()] * (shown // 6)
            yield from [" " + word.capitalize()] * (shown // 10)
            for form in inflections(word, group.get("inflect")):
                yield from [" " + form] * (shown // 2)


def inflections(word: str, kind: str | None) -> list[str]:
    """Regular forms of a verb or noun; a wrong one now and then only costs a rare piece."""
    if kind is None:
        return []
    ends_in_y = word.endswith("y") and word[-2] not in VOWELS
    needs_es = word.endswith(("s", "x", "z", "ch", "sh"))
    with_s = word[:-1] + "ies" if ends_in_y else word + ("es" if needs_es else "s")
    if kind in ("noun", "with_s"):
        return [with_s]
    past = word[:-1] + "ied" if ends_in_y else word + ("d" if word.endswith("e") else "ed")
    stem = word[:-1] if word.endswith("e") and not word.endswith("ee") else word
    return [with_s, past, stem + "ing"]

"""Whether the files of a model folder are whole and fit each other, told before a library is imported.

config.json                     vocab_size, ...
model.safetensors               8 bytes: size of the header; the header, JSON: {name: {dtype, shape, data_offsets}}
model.safetensors.index.json    of a model in parts: {"weight_map": {name: file}}
tokenizer.json                  or the file of an older kind of tokenizer
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from shared_utils.errors import DataValidationError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "tok_embeddings.weight")
LARGEST_HEADER = 100_000_000  # bytes, as the library has it
COPY_AGAIN = "copy the model folder again"
# Sizes in config.json, with the names that GPT-2 has for them. Some models have lists of them, one for each layer.
SIZES = (
    "vocab_size", "num_hidden_layers", "n_layer", "hidden_size", "n_embd", "intermediate_size",
    "num_attention_heads", "n_head", "num_key_value_heads", "head_dim",
)  # fmt: skip


def check_model_files(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a model folder whose weights, configuration and tokenizer cannot be those of one whole model.

    Raises:
        DataValidationError: a file is missing, cut off, or does not fit the others; names it.
    """
    for part in sorted(set(_parts(folder / "model.safetensors.index.json"))):
        if not (folder / part).is_file():
            raise DataValidationError(f"{folder / part} is missing, a part of the weights", hint=COPY_AGAIN)
    _refuse_impossible_sizes(folder / "config.json", config)
    rows = config.get("vocab_size")
    for path in sorted(folder.glob("model*.safetensors")):
        for name, entry in read_safetensors_header(path).items():
            if name.endswith(EMBEDDINGS) and isinstance(rows, int) and entry["shape"][0] != rows:
                raise DataValidationError(
                    f"{folder / 'config.json'}: vocab_size is {rows}, but the weights have {entry['shape'][0]} tokens",
                    hint="the two belong to different models; " + COPY_AGAIN,
                )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise DataValidationError(f"{folder} has no tokenizer (tokenizer.json)", hint=COPY_AGAIN)


def _refuse_impossible_sizes(path: Path, config: dict[str, Any]) -> None:
    """A model of -1 layers is built without a word, and fails far from its cause."""
    for key in SIZES:
        size = config.get(key)
        if isinstance(size, (int, float)) and (isinstance(size, (bool, float)) or size < 1):
            raise DataValidationError(f"{path}: {key} is {size}, but must be a whole number above 0", hint=COPY_AGAIN)


def read_safetensors_header(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> dtype, shape and place of every tensor in a safetensors file; the tensors themselves are not read.

    Raises:
        DataValidationError: the file is no safetensors file, or ends too early.
    """
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, LARGEST_HEADER)))
        header.pop("__metadata__", None)
        tensors = {name: (entry["shape"], entry["data_offsets"]) for name, entry in header.items()}
        end = 8 + size + max((offsets[1] for _, offsets in tensors.values()), default=0)
        numbers = all(type(length) is int and length >= 0 for shape, _ in tensors.values() for length in shape)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataValidationError(f"{path} is damaged: no header of safetensors", hint=COPY_AGAIN) from error
    found = path.stat().st_size
    if not numbers or found != end:
        raise DataValidationError(f"{path} is damaged: it has {found:,} bytes instead of {end:,}", hint=COPY_AGAIN)
    return dict(header)


def _parts(index: Path) -> list[str]:
    if not index.is_file():
        return []
    try:
        return [str(part) for part in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataValidationError(f"{index} is damaged: {error!s:.100}", hint=COPY_AGAIN) from error

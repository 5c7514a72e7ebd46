"""An adapter and its base become one plain model, which is checked against the two before it counts.

The check reads the files back: what was written is what has to answer like the adapter did.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shared_utils.bug_report import package_versions
from shared_utils.errors import ConfigurationError, DataValidationError, TrainingError
from shared_utils.file_utils import (
    TEMPORARY_PREFIX,
    translated_os_errors,
    write_text_atomic,
)
from shared_utils.model_names import locate_model
from shared_utils.model_utils import load_model, load_tokenizer, save_whole_model

MAX_LOGIT_DIFFERENCE = 1e-4  # absolute, float32
MAX_LOSS_DIFFERENCE = 1e-5  # nats per token, float32
MOST_CHECK_TOKENS = 256  # of each text
CHECK_TEXTS = (
    "What should I do first?\nRead the manual, then switch the device on.",
    "Where is the nearest office, and when does it open? 1847, 3.5 km, 20:15.",
    "Grüße aus Köln. Привет, мир! 你好，世界。 😀",
)


@dataclass(frozen=True)
class MergeReport:
    """What was written, and how closely it answers like base and adapter: the largest differences found."""

    output_dir: Path
    base: str
    texts: int
    loss: float  # of the merged model on the texts, nats per token
    max_logit_difference: float
    max_loss_difference: float
    parameters: int
    size_bytes: int
    trained_loss: float | None = None  # of the model as it was trained, for QLoRA with its quantised base

    def in_words(self) -> str:
        """How close the written model is to what it was made of, in one line."""
        line = f"loss {self.loss:.4f} on {self.texts} texts, within {self.max_loss_difference:.1e} of base and adapter"
        return line if self.trained_loss is None else f"{line}; as it was trained {self.trained_loss:.4f}"


def merge_adapter(
    adapter_dir: Path,
    output_dir: Path,
    *,
    device: str = "auto",
    check_texts: Sequence[str] = CHECK_TEXTS,
) -> MergeReport:
    """Write the model that an adapter and its base make together, in float32 safetensors.

    An adapter that was trained on a 4-bit base is merged into the full-precision base: inside
    4-bit weights most of what it learned would be rounded away.

    Args:
        adapter_dir: a folder with `adapter_config.json`.
        output_dir: the new model folder; an older model there is replaced in full, once the check passed.
        check_texts: texts on which logits and loss before and after must agree.

    Raises:
        DataValidationError: there is no adapter, or no text to check with.
        ConfigurationError: `output_dir` holds something else than a model.
        TrainingError: the merged model does not answer like base and adapter.
    """
    texts = [text for text in check_texts if text.strip()]
    base = _checked_base(adapter_dir, output_dir, texts)
    tokenizer = load_tokenizer(str(adapter_dir))
    model: Any = load_model(str(adapter_dir), device, "float32")
    batches = [_encode(tokenizer, text, model.device) for text in texts]
    expected = [_logits(model, batch) for batch in batches]
    if not all(bool(logits.isfinite().all()) for logits in expected):
        raise TrainingError(
            f"the adapter {adapter_dir} is damaged: with it the model's answers are not numbers",
            hint="merge an earlier checkpoint, or train again with a lower learning rate",
        )
    with _new_folder(output_dir) as folder:
        merged = model.merge_and_unload()
        save_whole_model(merged, tokenizer, folder)
        parameters = sum(weight.numel() for weight in merged.parameters())
        del model, merged  # only one copy in memory while the files are read back
        written = load_model(str(folder), device, "float32")
        logit_difference, loss_difference = _compare(written, batches, expected)
        _refuse_difference(logit_difference, loss_difference)
        write_text_atomic(folder / "README.md", _model_card(base, adapter_dir, logit_difference, loss_difference))
        loss = mean_loss(written, tokenizer, texts)
        size = sum(file.stat().st_size for file in folder.iterdir())
    return MergeReport(
        output_dir=output_dir,
        base=base,
        texts=len(batches),
        loss=loss,
        max_logit_difference=logit_difference,
        max_loss_difference=loss_difference,
        parameters=parameters,
        size_bytes=size,
    )


def _checked_base(adapter_dir: Path, output_dir: Path, texts: Sequence[str]) -> str:
    """The name of the base model, once everything that can be known before loading is right."""
    location = locate_model(adapter_dir)
    if location.kind != "adapter" or location.base is None:
        raise DataValidationError(
            f"{adapter_dir} is no adapter (adapter_config.json is missing)",
            hint="name the run folder of train-lora",
        )
    if not texts:
        raise DataValidationError("a merged model needs texts to be checked with", hint="give at least one text")
    _refuse_foreign_folder(output_dir, adapter_dir)
    return location.base


def _encode(tokenizer: PreTrainedTokenizerBase, text: str, device: torch.device) -> Tensor:
    ids = tokenizer(text, split_special_tokens=True)["input_ids"][:MOST_CHECK_TOKENS]
    return torch.tensor([ids], device=device)


def _logits(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(input_ids=input_ids, use_cache=False).logits
    return logits[0].float().cpu()  # (tokens, vocabulary)


def _compare(model: PreTrainedModel, batches: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[float, float]:
    """The largest difference of a logit, and of the loss of a text."""
    logit_differences, loss_differences = [0.0], [0.0]
    for input_ids, before in zip(batches, expected, strict=True):
        after = _logits(model, input_ids)
        logit_differences.append(float((after - before).abs().max()))
        loss_differences.append(abs(_loss(after, input_ids) - _loss(before, input_ids)))
    return _largest(logit_differences), _largest(loss_differences)


def _loss(logits: Tensor, input_ids: Tensor) -> float:
    if len(logits) < 2:
        return 0.0
    return float(torch.nn.functional.cross_entropy(logits[:-1].double(), input_ids[0, 1:].cpu()))


def mean_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Mean loss of texts in nats per token, each text weighing the same."""
    batches = [_encode(tokenizer, text, model.device) for text in texts if text.strip()]
    return sum(_loss(_logits(model, batch), batch) for batch in batches) / len(batches)


def _largest(values: Sequence[float]) -> float:
    # max() passes over NaN when it does not come first.
    return float(torch.tensor(values, dtype=torch.float64).max())


def _refuse_difference(logit_difference: float, loss_difference: float) -> None:
    # Written so that NaN is refused too.
    if logit_difference <= MAX_LOGIT_DIFFERENCE and loss_difference <= MAX_LOSS_DIFFERENCE:
        return
    raise TrainingError(
        f"the merged model answers unlike base and adapter: logits differ by {logit_difference:.2g} "
        f"(limit {MAX_LOGIT_DIFFERENCE:g}), loss by {loss_difference:.2g} (limit {MAX_LOSS_DIFFERENCE:g})",
        hint="nothing was written; use the adapter as it is, and check that its base has not changed",
    )


def _refuse_foreign_folder(output_dir: Path, adapter_dir: Path) -> None:
    if adapter_dir.resolve().is_relative_to(output_dir.resolve()):
        raise ConfigurationError(
            f"the merged model cannot replace {output_dir}, which holds the adapter",
            hint=f"for example {adapter_dir / 'merged'}",
        )
    if output_dir.is_dir() and not (output_dir / "config.json").is_file() and any(output_dir.iterdir()):
        raise ConfigurationError(
            f"{output_dir} holds other files than a model; it is not replaced",
            hint="name a new or empty folder",
        )


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder that replaces `target`, whatever was there, when the block ends without an error."""
    with translated_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        outer = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
        try:
            fresh = outer / "new"
            fresh.mkdir()
            yield fresh
            _flush_to_disk(fresh)
            if target.exists():
                target.rename(outer / "old")
            fresh.rename(target)
        except BaseException:
            if (outer / "old").exists() and not target.exists():
                (outer / "old").rename(target)
            raise
        finally:
            shutil.rmtree(outer, ignore_errors=True)


def _flush_to_disk(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _model_card(base: str, adapter_dir: Path, logit_difference: float, loss_difference: float) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    return f"""---
base_model: {json.dumps(base)}
library_name: transformers
pipeline_tag: text-generation
---

# {adapter_dir.resolve().name}, merged

The weights of `{base}` with the LoRA adapter of `{adapter_dir.name}` added to them, in float32.
It loads like any model: `AutoModelForCausalLM.from_pretrained(FOLDER)`.

Checked against base and adapter when it was written: logits differ by at most {logit_difference:.1e},
the loss by at most {loss_difference:.1e} nats per token.

Licence and limits are those of the base model. Trained on what the adapter was trained on; its own
model card and `run.json` tell more.

Written with {versions}.
"""

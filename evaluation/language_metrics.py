"""What a language model is measured by, with one value per example: exact answers and likelihood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from shared_utils.console import Progress
from shared_utils.model_utils import stop_token_ids
from shared_utils.prompt_formats import IGNORED, EncodedRecord, encode_prompt
from shared_utils.records import Message

# Logits of one forward pass, batch x tokens x vocabulary: 1 GB in float32. Larger batches are split.
_MAX_LOGITS = 2**28

_ARTICLE = re.compile(r"(?<!\S)(?:a|an|the)\s+(?=\S)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DASH = re.compile("[\u2010-\u2015\u2212]")  # hyphens, en and em dashes, minus
_NUMBER_MARK = re.compile(r"(?<=\d)[.,:/-](?=\d)|(?<!\S)-(?=\d)")
# Chinese characters and Japanese syllables: a space beside one of them has no meaning.
_SPACE_BESIDE_CJK = re.compile(r"\s+(?=[\u3040-\u30ff\u3400-\u9fff])|(?<=[\u3040-\u30ff\u3400-\u9fff])\s+")


def exact_match(prediction: str, reference: str) -> float:
    """1.0 when both texts are the same after `normalise_answer`, else 0.0.

    The exact match of SQuAD (Rajpurkar et al. 2016), made right for all scripts and for numbers.
    """
    expected = normalise_answer(reference)
    if not expected:  # an answer of marks only, such as "?!", is compared as it stands
        return float(prediction.split() == reference.split())
    return float(normalise_answer(prediction) == expected)


def normalise_answer(text: str) -> str:
    """The text reduced to what an answer says: no case, punctuation, English articles or layout.

    The steps of SQuAD's official script, in its order, on Unicode: NFKC and case folding instead of
    lower case, every character of category P instead of the ASCII ones. It differs where SQuAD's
    rules make different answers equal: marks inside a number stay (3.5 is not 35, -5 is not 5),
    symbols stay (C++ is not C), and a final "a" stays (vitamin A).

    >>> normalise_answer("The Cat,  sat!"), normalise_answer("北京， 大学。"), normalise_answer("1,200.50 m")
    ('cat sat', '北京大学', '1200.50 m')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = _THOUSANDS.sub("", _DASH.sub("-", folded))
    number_marks = {match.start() for match in _NUMBER_MARK.finditer(folded)}
    kept = [ch for index, ch in enumerate(folded) if index in number_marks or not _is_mark(ch)]
    words = " ".join(_ARTICLE.sub("", " ".join("".join(kept).split())).split())
    return _SPACE_BESIDE_CJK.sub("", words)


def token_nll(
    model: PreTrainedModel,
    examples: Sequence[EncodedRecord],
    batch_size: int = 16,
    progress: Progress | None = None,
) -> tuple[list[float], list[int]]:
    """How unlikely the model finds each example.

    Examples are padded on the right, where a causal model does not see it, and each value is summed
    over the example's own tokens; so it depends neither on the batch size nor on the neighbours.

    Returns:
        For each example the sum of -log p (in nats) over its supervised tokens, and their number.
    """
    sums = [0.0] * len(examples)
    lengths = [len(example.input_ids) for example in examples]
    vocabulary = int(model.config.get_text_config().vocab_size)
    for batch in _batches_by_length(lengths, batch_size, max_tokens=_MAX_LOGITS // vocabulary):
        for index, value in zip(batch, _batch_nll(model, [examples[index] for index in batch]), strict=True):
            sums[index] = value
        if progress:
            progress.advance(len(batch))
    return sums, [example.supervised_tokens for example in examples]


def perplexity(nlls: Sequence[float], tokens: Sequence[int]) -> float:
    """exp(total negative log-likelihood / total tokens): every token counts the same.

    The mean of per-example or per-batch losses would weigh tokens of short examples more.
    """
    return float(np.exp(np.sum(nlls) / np.sum(tokens)))


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int = 64,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[str]:
    """The model's likeliest answer to each conversation, without special tokens and outer space."""
    ids = generate_token_ids(model, tokenizer, prompts, max_new_tokens, batch_size, progress)
    return [str(text).strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def generate_token_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int = 64,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[list[int]]:
    """Token ids of greedy answers, in the order of the prompts, each cut before its stop token.

    Prompts of similar length are answered together, padded on the left. A prompt that leaves the
    model's context no room for the answer loses its beginning and is answered alone.
    """
    stop_ids = stop_token_ids(tokenizer)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    for batch in _batches_by_length([len(ids) for ids in encoded], batch_size, room=(context, max_new_tokens)):
        rows = [encoded[index] for index in batch]
        limit = max_new_tokens
        if context is not None and len(rows[0]) + limit > context:
            rows = [rows[0][-(context - min(limit, context // 2)) :]]
            limit = min(limit, context - len(rows[0]))
        for index, answer in zip(batch, _greedy(model, rows, limit, stop_ids), strict=True):
            answers[index] = answer
        if progress:
            progress.advance(len(batch))
    return answers


def _batches_by_length(
    lengths: Sequence[int],
    batch_size: int,
    *,
    max_tokens: int | None = None,
    room: tuple[int | None, int] = (None, 0),
) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, so that a lack of memory shows at once.

    `max_tokens` bounds the padded batch; an item that exceeds `room` (context, new tokens) is alone.
    """
    batch: list[int] = []
    context, new_tokens = room
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if context is not None and lengths[index] + new_tokens > context:
            yield [index]
            continue
        padded = lengths[batch[0]] * (len(batch) + 1) if batch else 0
        if batch and (len(batch) == batch_size or (max_tokens is not None and padded > max_tokens)):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch_nll(model: PreTrainedModel, examples: Sequence[EncodedRecord]) -> list[float]:
    if not max(len(example.input_ids) for example in examples):
        return [0.0] * len(examples)
    input_ids = _padded([example.input_ids for example in examples], 0, model.device)
    labels = _padded([example.labels for example in examples], IGNORED, model.device)[:, 1:]
    mask = _padded([[1] * len(example.input_ids) for example in examples], 0, model.device)
    with torch.inference_mode():
        logits = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    supervised = labels != IGNORED  # (batch, tokens - 1)
    losses = torch.nn.functional.cross_entropy(
        logits[supervised].float(), labels[supervised], reduction="none"
    )  # (supervised tokens,)
    # Summed row by row on the processor in float64: sums of thousands of tokens keep their digits.
    per_row = losses.double().cpu().split(supervised.sum(dim=1).tolist())
    return [float(row.sum()) for row in per_row]


def _greedy(
    model: PreTrainedModel, prompts: Sequence[list[int]], max_new_tokens: int, stop_ids: Sequence[int]
) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device)
    # Every choice is named: what is left out would come from the generation_config.json of the model,
    # where instruction models often keep sampling and a repetition penalty.
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stop_ids) or None,
        pad_token_id=stop_ids[0] if stop_ids else 0,
    )
    new_ids = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
    return [_before_stop(row, set(stop_ids)) for row in new_ids]


def _before_stop(ids: list[int], stop_ids: set[int]) -> list[int]:
    end = next((index for index, token in enumerate(ids) if token in stop_ids), len(ids))
    return ids[:end]


def _padded(rows: Sequence[list[int]], filler: int, device: torch.device) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], device=device)


def _is_mark(ch: str) -> bool:
    """Punctuation of any script, the backtick of Markdown, and characters that only steer the layout."""
    return ch == "`" or unicodedata.category(ch)[0] == "P" or unicodedata.category(ch) == "Cf"

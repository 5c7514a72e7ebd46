"""Builds the starter model: tokenizer, a small Llama trained on the generated corpus, and its files.

The same machine gives the same bytes: float32, a fixed number of threads, fixed seeds, no dropout,
and no dates in the files.
"""

import logging
import math
import re
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from starter_model.corpus import texts
from starter_model.tokenizer import (
    CONTEXT_TOKENS,
    END_OF_TEXT,
    PAD,
    TURN_END,
    TURN_START,
    VOCABULARY_SIZE,
    write_json,
    write_tokenizer,
)

logger = logging.getLogger(__name__)

SEED = 7
THREADS = 2

# The network: about 3.2 million weights, so that the file stays below 7 MB in bfloat16.
HIDDEN_SIZE = 192
LAYERS = 6
HEADS = 6
FEED_FORWARD_SIZE = 512

# Wider than the usual 0.02: with so few steps the signal of the question reaches the answer sooner.
INITIALIZER_RANGE = 0.08

# The training: one pass over fresh text. A batch holds whole texts of similar length, so that a
# question stands where it stands in use, at the beginning.
STEPS = 3000
TOKENS_PER_STEP = 1024
TEXTS_SORTED_TOGETHER = 600
PEAK_LEARNING_RATE = 3e-3
FINAL_LEARNING_RATE = 1e-4
WARMUP_STEPS = 60
WEIGHT_DECAY = 0.05
ADAM_BETAS = (0.9, 0.95)
GRADIENT_NORM = 1.0
LOG_EVERY_STEPS = 100
# What a user says weighs less in the loss: the questions are there to be answered.
USER_WEIGHT = 0.2
USER_TURN = re.compile(re.escape(TURN_START) + r"user\n(.*?)" + re.escape(TURN_END), re.DOTALL)

SHIPPED_FILES = Path(__file__).with_name("files")


def build_starter(output_dir: Path, steps: int = STEPS, tokens_per_step: int = TOKENS_PER_STEP) -> float:
    """Trains the starter model and writes its files.

    Args:
        output_dir: folder for the files; existing ones are replaced.
        steps: optimizer steps; a handful is enough for a test.
        tokens_per_step: tokens in one step, padding included.

    Returns:
        The mean training loss of the last tenth of the steps, in nats a token.
    """
    write_tokenizer(output_dir)
    tokenizer = Tokenizer.from_file(str(output_dir / "tokenizer.json"))
    make_reproducible()
    model = LlamaForCausalLM(model_config(tokenizer))
    loss = train(model, islice(batches(tokenizer, tokens_per_step), steps), steps)
    write_model(model, tokenizer, output_dir)
    return loss


def make_reproducible() -> None:
    """Fixes what decides about the order of sums and about random numbers."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)


def model_config(tokenizer: Tokenizer) -> LlamaConfig:
    """A small Llama whose input and output embeddings are the same matrix."""
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=VOCABULARY_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=FEED_FORWARD_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        initializer_range=INITIALIZER_RANGE,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(TURN_END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def batches(tokenizer: Tokenizer, tokens_per_step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and their weights in the loss, both of shape (texts, tokens), without end.

    Texts are sorted by length in groups, so that little is spent on padding (of weight 0).
    """
    source = texts(SEED)
    rng = Random(SEED)
    while True:
        group = [weighted_tokens(text, tokenizer) for text in islice(source, TEXTS_SORTED_TOGETHER)]
        group.sort(key=len)
        cut: list[list[list[tuple[int, float]]]] = [[]]
        for tokens in group:
            if cut[-1] and (len(cut[-1]) + 1) * len(tokens) > tokens_per_step:
                cut.append([])
            cut[-1].append(tokens)
        rng.shuffle(cut)
        yield from map(pad, cut)


def weighted_tokens(text: str, tokenizer: Tokenizer) -> list[tuple[int, float]]:
    """The tokens of a text, each with its weight in the loss."""
    encoding = tokenizer.encode(text + END_OF_TEXT)
    spans = [match.span(1) for match in USER_TURN.finditer(text)]
    return [
        (token_id, USER_WEIGHT if any(start < end <= stop for start, stop in spans) else 1.0)
        for token_id, (_, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]


def pad(batch: list[list[tuple[int, float]]]) -> tuple[Tensor, Tensor]:
    """Texts filled up to one length with padding on the right, which no earlier token can see."""
    longest = max(map(len, batch))
    filled = torch.tensor([tokens + [(0, 0.0)] * (longest - len(tokens)) for tokens in batch])
    return filled[..., 0].long(), filled[..., 1]


def train(model: LlamaForCausalLM, source: Iterable[tuple[Tensor, Tensor]], steps: int) -> float:
    """AdamW with a warm-up and a cosine down to the final learning rate."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=ADAM_BETAS, weight_decay=WEIGHT_DECAY)
    losses: list[float] = []
    started = time.perf_counter()
    model.train()
    for step, (token_ids, weights) in enumerate(source):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = weighted_loss(model, token_ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % LOG_EVERY_STEPS == 0 or step == steps - 1:
            seconds = time.perf_counter() - started
            logger.info("step %d of %d: loss %.3f, %.0f s", step, steps, losses[-1], seconds)
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def weighted_loss(model: LlamaForCausalLM, token_ids: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of each next token, averaged with the weights."""
    logits = model(input_ids=token_ids, use_cache=False).logits[:, :-1]  # (texts, tokens - 1, vocabulary)
    losses = functional.cross_entropy(logits.flatten(0, 1), token_ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (losses * weight).sum() / weight.sum()


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine."""
    warmup = min(WARMUP_STEPS, max(1, steps // 10))
    if step < warmup:
        return PEAK_LEARNING_RATE * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    height = (1 + math.cos(math.pi * progress)) / 2
    return FINAL_LEARNING_RATE + (PEAK_LEARNING_RATE - FINAL_LEARNING_RATE) * height


def write_model(model: LlamaForCausalLM, tokenizer: Tokenizer, output_dir: Path) -> None:
    """Weights in bfloat16, configuration, generation defaults and the card."""
    # The tied output matrix is left out, as `save_pretrained` does; written by hand because that
    # would add the library's version to the configuration.
    weights = {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in sorted(model.state_dict().items())
        if name != "lm_head.weight"
    }
    save_file(weights, output_dir / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict() | {"dtype": "bfloat16", "architectures": ["LlamaForCausalLM"]}
    write_json(output_dir / "config.json", {k: v for k, v in config.items() if k != "transformers_version"})
    stop_ids = [tokenizer.token_to_id(TURN_END), tokenizer.token_to_id(END_OF_TEXT)]
    write_json(
        output_dir / "generation_config.json",
        {
            "do_sample": False,
            "eos_token_id": stop_ids,
            "max_new_tokens": 64,
            "pad_token_id": tokenizer.token_to_id(PAD),
        },
    )
    (output_dir / "README.md").write_bytes((SHIPPED_FILES / "README.md").read_bytes())

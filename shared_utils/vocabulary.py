"""New tokens: into a tokenizer, and room for them in a model's embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerBase


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str], template: str) -> None:
    """Add those tokens that the tokenizer lacks.

    Tokens that the chat template writes become control tokens: text that a person wrote never turns into them, and
    they are left out of replies. The others stand for the same characters in any text.
    """
    vocabulary = tokenizer.get_vocab()
    for token in tokens:
        if token not in vocabulary:
            is_control = token in template
            tokenizer.add_tokens(AddedToken(token, special=is_control, normalized=False), special_tokens=is_control)


def make_room(model: PreTrainedModel, size: int) -> None:
    """Give a model at least `size` rows of embeddings; new rows start as the mean of the old ones.

    A row far from all others would drown what the model knows; the mean changes its answers least (J. Hewitt,
    Initializing New Word Embeddings for Pretrained Language Models, 2021). No random number is drawn.
    """
    old = model.get_input_embeddings().weight.shape[0]
    if size <= old:
        return
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                layer.weight[old:] = layer.weight[:old].float().mean(0).to(layer.weight.dtype)

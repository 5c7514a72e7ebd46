"""Drawing actions from what a policy gives, and the log probabilities of what was drawn; in numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_methods.reinforcement_learning.spaces import Actions

Array = Any

IMPOSSIBLE = np.float32(-1e8)  # the logit of an action that a mask forbids
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Choice:
    """Actions for a batch of observations, and what an agent remembers of how it came to them.

    Attributes:
        actions: (batch,) whole numbers, or (batch, parts).
        inputs: the observations as the network read them.
        log_probs, values: (batch,); None of agents that have none.
        masks: (batch, outputs), true where an action was possible; None: all were.
    """

    actions: Array
    inputs: Array
    log_probs: Array | None = None
    values: Array | None = None
    masks: Array | None = None


def log_softmax(logits: Array) -> Array:
    """Log probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def choose(
    actions: Actions, outputs: Array, log_std: Array | None, masks: Array | None, random: Any, *, greedy: bool
) -> tuple[Array, Array]:
    """Actions drawn from a policy, or its likeliest ones, with their log probabilities.

    Args:
        actions: what kind they are.
        outputs: logits or means, (batch, outputs).
        log_std: log standard deviations of continuous actions, (numbers,).
        masks: (batch, outputs), true where an action is possible.
        random: a numpy Generator.
        greedy: take the likeliest ones.
    """
    if actions.kind == "continuous":
        noise = 0.0 if greedy else random.standard_normal(outputs.shape, dtype=np.float32)
        chosen = outputs + noise * np.exp(log_std)
        return chosen, gaussian_log_probs(chosen, outputs, log_std)
    if masks is not None:
        outputs = np.where(masks, outputs, IMPOSSIBLE)
    if actions.kind == "discrete":
        return _choose_one(outputs, random, greedy)
    picked = [_choose_one(part, random, greedy) for part in np.split(outputs, np.cumsum(actions.sizes)[:-1], axis=1)]
    return np.stack([one for one, _ in picked], axis=1), np.sum([log for _, log in picked], axis=0)


def _choose_one(logits: Array, random: Any, greedy: bool) -> tuple[Array, Array]:
    log_probs = log_softmax(logits)
    # The largest of log probabilities with Gumbel noise is a draw from them (Gumbel 1954); two logarithms of
    # exponential numbers are quicker than searching a cumulative sum for each row.
    noisy = log_probs if greedy else log_probs - np.log(random.standard_exponential(logits.shape, dtype=np.float32))
    chosen = noisy.argmax(1)
    return chosen, log_probs[np.arange(len(chosen)), chosen]


def gaussian_log_probs(chosen: Array, means: Array, log_std: Array) -> Array:
    """Log densities of independent normal numbers, summed over an action."""
    scaled = (chosen - means) * np.exp(-log_std)
    return (-0.5 * scaled * scaled - log_std - np.float32(HALF_LOG_TWO_PI)).sum(1)

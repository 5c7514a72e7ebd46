"""Two ways through an actor-critic: numpy with gradients in closed form, and torch with those of autograd.

Both write into the same weights and gradients. numpy's way takes flat observations and one discrete choice on a
processor, which is where calls, not products, cost the time; torch's takes everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from training_methods.reinforcement_learning.action_choice import HALF_LOG_TWO_PI, IMPOSSIBLE
from training_methods.reinforcement_learning.flat_parameters import DenseLayers, FlatParameters
from training_methods.reinforcement_learning.networks import ActorCritic
from training_methods.reinforcement_learning.settings import PPOSettings
from training_methods.reinforcement_learning.spaces import Actions

Array = Any

LOSS_NAMES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


@dataclass(frozen=True)
class Minibatch:
    """Steps to learn from; the first axis of each array is the step. `masks` is None where all was possible."""

    inputs: Array
    actions: Array
    log_probs: Array
    values: Array
    advantages: Array
    returns: Array
    masks: Array | None

    def rows(self, start: int, end: int) -> Minibatch:
        """Some of the steps."""
        return self._each(lambda array: array[start:end])

    def shuffled(self, order: Array) -> Minibatch:
        """All of the steps in another order."""
        return self._each(lambda array: array[order])

    def _each(self, taken: Callable[[Array], Array]) -> Minibatch:
        return Minibatch(
            inputs=taken(self.inputs),
            actions=taken(self.actions),
            log_probs=taken(self.log_probs),
            values=taken(self.values),
            advantages=taken(self.advantages),
            returns=taken(self.returns),
            masks=None if self.masks is None else taken(self.masks),
        )


class PolicyPath(Protocol):
    """A way through an actor-critic."""

    def evaluate(self, inputs: Array) -> tuple[Array, Array]:
        """Logits or means, (batch, outputs), and values, (batch,)."""

    def values(self, inputs: Array) -> Array:
        """Values alone, (batch,)."""

    def gradient(self, batch: Minibatch) -> tuple[float, ...]:
        """Write the gradient of PPO's loss; the figures of `LOSS_NAMES`."""


def policy_path(
    network: ActorCritic, parameters: FlatParameters, actions: Actions, settings: PPOSettings, *, grid: bool
) -> PolicyPath:
    """The quicker of the two ways that can go through this network."""
    if parameters.values.device.type == "cpu" and actions.kind == "discrete" and not grid:
        return NumpyPolicy(parameters, settings)
    return TorchPolicy(network, parameters, actions, settings)


def _normalised(advantages: Array) -> Array:
    """Advantages with mean 0 and variance 1 (Huang et al. 2022, detail 7); one alone stays as it is."""
    count = len(advantages)
    if count < 2:
        return advantages
    centred = advantages - advantages.sum() / np.float32(count)
    deviation = math.sqrt(float(np.dot(centred, centred)) / (count - 1))
    return centred * np.float32(1 / (deviation + 1e-8))


class NumpyPolicy:
    """Forward and backward in numpy; one discrete choice."""

    def __init__(self, parameters: FlatParameters, settings: PPOSettings) -> None:
        self._settings = settings
        self._actor, self._critic = (
            DenseLayers(
                [
                    (parameters.weights(f"{part}.{2 * layer}.weight"), parameters.weights(f"{part}.{2 * layer}.bias"))
                    for layer in range(settings.hidden_layers + 1)
                ],
                "tanh",
            )
            for part in ("actor", "critic")
        )

    def evaluate(self, inputs: Array) -> tuple[Array, Array]:
        """Logits and values."""
        return self._actor.forward(inputs)[-1], self._critic.forward(inputs)[-1][:, 0]

    def values(self, inputs: Array) -> Array:
        """Values alone."""
        return self._critic.forward(inputs)[-1][:, 0]

    def gradient(self, batch: Minibatch) -> tuple[float, ...]:
        """PPO's loss (Schulman et al. 2017, equation 9) and its gradient by hand."""
        settings, count = self._settings, len(batch.actions)
        rows = np.arange(count)
        advantages = _normalised(batch.advantages) if settings.norm_adv else batch.advantages
        through_actor = self._actor.forward(batch.inputs)
        logits = through_actor[-1]
        if batch.masks is not None:
            logits = np.where(batch.masks, logits, IMPOSSIBLE)
        shifted = logits - logits.max(1, keepdims=True)
        probs = np.exp(shifted)
        total = probs.sum(1, keepdims=True)
        probs /= total
        log_probs = shifted - np.log(total)

        log_ratio = log_probs[rows, batch.actions] - batch.log_probs
        ratio = np.exp(log_ratio)
        free = ratio * advantages
        away = ratio - 1
        limit = np.float32(settings.eps_clip)
        clipped = (np.maximum(np.minimum(away, limit), -limit) + 1) * advantages
        # d(-min(free, clipped))/d(log prob): nothing where the clipped one is the smaller (equation 7).
        weight = np.where(free > clipped, np.float32(0), free) * np.float32(-1 / count)
        slope = probs * -weight[:, None]
        slope[rows, batch.actions] += weight
        entropy = -np.einsum("ij,ij->i", probs, log_probs)[:, None]
        if settings.entropy_coef:
            slope += np.float32(settings.entropy_coef / count) * probs * (log_probs + entropy)
        self._actor.backward(through_actor, slope)
        value_loss = self._value_gradient(batch, count)
        return (
            -float(np.minimum(free, clipped).sum()) / count,
            value_loss,
            float(entropy.sum()) / count,
            float((away - log_ratio).sum()) / count,
            np.count_nonzero(np.abs(away) > limit) / count,
        )

    def _value_gradient(self, batch: Minibatch, count: int) -> float:
        settings = self._settings
        through_critic = self._critic.forward(batch.inputs)
        values = through_critic[-1][:, 0]
        error = values - batch.returns
        squared = error * error
        slope = error
        if settings.clip_vloss:
            move = values - batch.values
            clipped_error = batch.values + np.clip(move, -settings.eps_clip, settings.eps_clip) - batch.returns
            clipped_squared = clipped_error * clipped_error
            stuck = (clipped_squared > squared) & (np.abs(move) > settings.eps_clip)
            slope = np.where(stuck, np.float32(0), error)
            squared = np.maximum(squared, clipped_squared)
        self._critic.backward(through_critic, slope[:, None] * np.float32(2 * settings.value_coef / count))
        return float(squared.sum()) / count


class TorchPolicy:
    """Forward and backward in torch; every kind of observation and action, every device."""

    def __init__(
        self, network: ActorCritic, parameters: FlatParameters, actions: Actions, settings: PPOSettings
    ) -> None:
        self._network, self._parameters = network, parameters
        self._actions, self._settings = actions, settings

    def evaluate(self, inputs: Array) -> tuple[Array, Array]:
        """Logits or means, and values."""
        with torch.no_grad():
            outputs, values = self._network(self._tensor(inputs))
        return outputs.cpu().numpy(), values.cpu().numpy()

    def values(self, inputs: Array) -> Array:
        """Values alone."""
        return self.evaluate(inputs)[1]

    def gradient(self, batch: Minibatch) -> tuple[float, ...]:
        """PPO's loss (Schulman et al. 2017, equation 9), and its gradient by autograd."""
        settings = self._settings
        advantages = self._tensor(_normalised(batch.advantages) if settings.norm_adv else batch.advantages)
        outputs, values = self._network(self._tensor(batch.inputs))
        log_probs, entropy = self._log_probs(outputs, batch)
        log_ratio = log_probs - self._tensor(batch.log_probs)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - settings.eps_clip, 1 + settings.eps_clip)
        policy_loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        returns, before = self._tensor(batch.returns), self._tensor(batch.values)
        squared = (values - returns).square()
        if settings.clip_vloss:
            moved = before + (values - before).clamp(-settings.eps_clip, settings.eps_clip)
            squared = torch.maximum(squared, (moved - returns).square())
        value_loss, mean_entropy = squared.mean(), entropy.mean()
        loss = policy_loss + settings.value_coef * value_loss - settings.entropy_coef * mean_entropy
        self._parameters.gradients.zero_()
        loss.backward()
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).mean()
            clip_fraction = ((ratio - 1).abs() > settings.eps_clip).float().mean()
            figures = torch.stack([policy_loss, value_loss, mean_entropy, kl, clip_fraction])
        return tuple(figures.tolist())

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._parameters.values.device)

    def _log_probs(self, outputs: Tensor, batch: Minibatch) -> tuple[Tensor, Tensor]:
        """Log probabilities of the actions taken, and entropies; each (batch,)."""
        taken = self._tensor(batch.actions)
        if self._network.log_std is not None:
            log_std = self._network.log_std
            scaled = (taken - outputs) * (-log_std).exp()
            entropy = (log_std + 0.5 + HALF_LOG_TWO_PI).sum().expand(len(taken))
            return (-0.5 * scaled.square() - log_std - HALF_LOG_TWO_PI).sum(1), entropy
        if batch.masks is not None:
            outputs = torch.where(self._tensor(batch.masks), outputs, float(IMPOSSIBLE))
        parts = outputs.split(self._actions.sizes, dim=1)
        chosen = taken.reshape(len(taken), -1)
        log_probs = entropy = torch.zeros(len(taken), device=outputs.device)
        for number, logits in enumerate(parts):
            part = logits.log_softmax(1)
            log_probs = log_probs + part.gather(1, chosen[:, number : number + 1])[:, 0]
            entropy = entropy - (part.exp() * part).sum(1)
        return log_probs, entropy

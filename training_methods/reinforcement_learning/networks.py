"""The networks of the agents, as modules of torch."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from training_methods.reinforcement_learning.spaces import Actions, Observations

LARGE_PICTURE = 36  # pixels; below it a convolution keeps the size


def _linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """A layer with orthogonal weights and no bias (Huang et al. 2022, detail 2)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _dense(
    widths: list[int], activation: type[nn.Module], last_gain: float, generator: torch.Generator
) -> nn.Sequential:
    modules: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        is_last = number == len(widths) - 2
        modules.append(_linear(before, after, last_gain if is_last else math.sqrt(2), generator))
        if not is_last:
            modules.append(activation())
    return nn.Sequential(*modules)


class GridFeatures(nn.Module):
    """A small convolution: boards keep their size, pictures shrink as in Mnih et al. 2015.

    Args:
        observations: shape (channels, height, width).
        width: numbers that come out.
    """

    def __init__(self, observations: Observations, width: int, generator: torch.Generator) -> None:
        super().__init__()
        channels, height, columns = observations.shape
        if min(height, columns) < LARGE_PICTURE:
            shapes = [(channels, 32, 3, 1, 1), (32, 64, 3, 1, 1)]
        else:
            shapes = [(channels, 32, 8, 4, 0), (32, 64, 4, 2, 0), (64, 64, 3, 1, 0)]
        modules: list[nn.Module] = []
        for before, after, kernel, stride, padding in shapes:
            layer = nn.Conv2d(before, after, kernel, stride, padding)
            nn.init.orthogonal_(layer.weight, math.sqrt(2), generator=generator)
            nn.init.zeros_(layer.bias)
            modules += [layer, nn.ReLU()]
            height, columns = ((side + 2 * padding - kernel) // stride + 1 for side in (height, columns))
        flat = shapes[-1][1] * height * columns
        self.layers = nn.Sequential(*modules, nn.Flatten(), _linear(flat, width, math.sqrt(2), generator), nn.ReLU())
        self.divisor = observations.divisor

    def forward(self, observations: Tensor) -> Tensor:
        """Features, shape (batch, width)."""
        numbers = observations.float()
        return self.layers(numbers / self.divisor if self.divisor != 1 else numbers)


class ActorCritic(nn.Module):
    """A policy (actor) and a value (critic).

    Grids pass through shared convolutions first; the layers of flat observations are not shared, which learns
    better (Andrychowicz et al. 2021, section 3.2).
    """

    def __init__(
        self,
        observations: Observations,
        actions: Actions,
        hidden_dim: int,
        hidden_layers: int,
        generator: torch.Generator,
        log_std_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.features: nn.Module = nn.Flatten()
        widths = [observations.size, *[hidden_dim] * hidden_layers]
        if observations.is_grid:
            self.features = GridFeatures(observations, hidden_dim, generator)
            widths = [hidden_dim]
        # The first policy is nearly uniform: its last layer starts a hundred times smaller (section 3.2).
        self.actor = _dense([*widths, actions.outputs], nn.Tanh, 0.01, generator)
        self.critic = _dense([*widths, 1], nn.Tanh, 1.0, generator)
        self.log_std = (
            nn.Parameter(torch.full((actions.sizes[0],), log_std_init)) if actions.kind == "continuous" else None
        )

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits or means, shape (batch, outputs), and values, shape (batch,)."""
        features = self.features(observations)
        return self.actor(features), self.critic(features)[:, 0]


class DuelingDQNNetwork(nn.Module):
    """Action values as the sum of a value and of advantages whose mean is 0 (Wang et al. 2016, equation 9).

    Without `dueling` the advantages alone are the action values (Mnih et al. 2015).
    """

    def __init__(
        self,
        observations: Observations,
        action_count: int,
        hidden_dim: int,
        hidden_layers: int,
        generator: torch.Generator,
        dueling: bool = True,
    ) -> None:
        super().__init__()
        if observations.is_grid:
            self.features: nn.Module = GridFeatures(observations, hidden_dim, generator)
        else:
            layers = _dense([observations.size, *[hidden_dim] * hidden_layers], nn.ReLU, math.sqrt(2), generator)
            self.features = nn.Sequential(nn.Flatten(), *layers, nn.ReLU())
        # The two streams lie side by side in memory, so that one product computes both.
        self.streams = nn.ModuleDict({"advantage": _linear(hidden_dim, action_count, 1.0, generator)})
        self.dueling = dueling
        if dueling:
            self.streams["value"] = _linear(hidden_dim, 1, 1.0, generator)

    def forward(self, observations: Tensor) -> Tensor:
        """Action values, shape (batch, actions)."""
        features = self.features(observations)
        advantage = self.streams["advantage"](features)
        if not self.dueling:
            return advantage
        return self.streams["value"](features) + advantage - advantage.mean(1, keepdim=True)

"""Two ways through a network of action values: numpy with gradients in closed form, and torch with autograd's."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from training_methods.reinforcement_learning.flat_parameters import DenseLayers, FlatParameters
from training_methods.reinforcement_learning.networks import DuelingDQNNetwork

Array = Any

# Neighbours in memory, so that numpy computes both streams by one product.
STREAMS = (
    "streams.advantage.weight",
    "streams.value.weight",
    "streams.advantage.bias",
    "streams.value.bias",
)


class QPath(Protocol):
    """A way through a network of action values."""

    def values(self, inputs: Array) -> Array:
        """Action values, (batch, actions)."""

    def forward(self, inputs: Array) -> tuple[Any, Array]:
        """A pass that `gradient` can go back through, and its action values, (batch, actions)."""

    def gradient(self, passed: Any, actions: Array, targets: Array, weights: Array | None) -> tuple[Array, float]:
        """Write the gradient of the loss; the errors, (batch,), and the mean loss.

        Args:
            passed: of `forward`; its first rows are those learnt from.
            actions: those whose values are to move, (batch,), as many as those rows.
            targets: where to.
            weights: of each in the loss; None where all count the same.
        """


def stream_order(dueling: bool) -> tuple[str, ...]:
    """The names of the last layer's parameters in the order that numpy's way needs."""
    return STREAMS if dueling else tuple(name for name in STREAMS if "advantage" in name)


def q_path(network: DuelingDQNNetwork, parameters: FlatParameters, hidden_layers: int, *, grid: bool) -> QPath:
    """The quicker of the two ways that can go through this network."""
    if parameters.values.device.type == "cpu" and not grid:
        return NumpyQ(parameters, hidden_layers, network.dueling)
    return TorchQ(network, parameters)


class NumpyQ:
    """Forward and backward in numpy; flat observations on a processor."""

    def __init__(self, parameters: FlatParameters, hidden_layers: int, dueling: bool) -> None:
        names = [f"features.{2 * layer + 1}" for layer in range(hidden_layers)]
        layers = [(parameters.weights(f"{name}.weight"), parameters.weights(f"{name}.bias")) for name in names]
        order = stream_order(dueling)
        half = len(order) // 2
        layers.append((parameters.weights(*order[:half]), parameters.weights(*order[half:])))
        self._layers = DenseLayers(layers, "relu")
        outputs = layers[-1][1].value.shape[0]
        actions = outputs - 1 if dueling else outputs
        # Q = V + A - mean(A) is one small product with this matrix (Wang et al. 2016, equation 9).
        self._combine: Array = np.eye(outputs, actions, dtype=np.float32)
        if dueling:
            self._combine[:actions] -= np.float32(1 / actions)
            self._combine[actions] = 1

    def values(self, inputs: Array) -> Array:
        """Action values."""
        return self._layers.forward(inputs)[-1] @ self._combine

    def forward(self, inputs: Array) -> tuple[Any, Array]:
        """What each layer was given, and action values."""
        passed = self._layers.forward(inputs)
        values = passed[-1] @ self._combine
        return (passed, values), values

    def gradient(self, passed: Any, actions: Array, targets: Array, weights: Array | None) -> tuple[Array, float]:
        """Huber's loss (its slope is the error, limited to 1: Mnih et al. 2015) and its gradient by hand."""
        layers, values = passed
        count = len(actions)
        rows = np.arange(count)
        errors = values[rows, actions] - targets
        limited = np.minimum(np.maximum(errors, np.float32(-1)), np.float32(1))
        # Huber: e^2 / 2 near 0, |e| - 1/2 further away; both are limited * (e - limited / 2).
        losses = limited * (errors - limited * np.float32(0.5))
        if weights is not None:
            losses, limited = losses * weights, limited * weights
        slope = np.zeros((count, values.shape[1]), np.float32)
        slope[rows, actions] = limited * np.float32(1 / count)
        self._layers.backward([one[:count] for one in layers], slope @ self._combine.T)
        return errors, float(losses.sum()) / count


class TorchQ:
    """Forward and backward in torch; every kind of observation, every device."""

    def __init__(self, network: DuelingDQNNetwork, parameters: FlatParameters) -> None:
        self._network, self._parameters = network, parameters

    def values(self, inputs: Array) -> Array:
        """Action values."""
        with torch.no_grad():
            return self._network(self._tensor(inputs)).cpu().numpy()

    def forward(self, inputs: Array) -> tuple[Any, Array]:
        """Action values as a part of autograd's graph, and as numbers."""
        values = self._network(self._tensor(inputs))
        return values, values.detach().cpu().numpy()

    def gradient(self, passed: Any, actions: Array, targets: Array, weights: Array | None) -> tuple[Array, float]:
        """Huber's loss (Mnih et al. 2015), and its gradient by autograd."""
        values = passed[: len(actions)]
        taken = values.gather(1, self._tensor(actions)[:, None])[:, 0]
        goal = self._tensor(targets)
        losses = torch.nn.functional.smooth_l1_loss(taken, goal, reduction="none")
        if weights is not None:
            losses = losses * self._tensor(weights)
        loss = losses.mean()
        self._parameters.gradients.zero_()
        loss.backward()
        return (taken - goal).detach().cpu().numpy(), float(loss.detach())

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._parameters.values.device)

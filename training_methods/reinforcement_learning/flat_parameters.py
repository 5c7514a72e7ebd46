"""All weights of a network in one array, and Adam over it.

The modules of torch see their weights as views of the array, and so does numpy on a processor: one optimizer
step is one call instead of one for each layer, and what numpy computes is at once what torch saves and exports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

Array = Any  # numpy is not read by the type checker

BETA1, BETA2 = 0.9, 0.999


@dataclass(frozen=True)
class Weights:
    """One parameter as numpy sees it, with the place of its gradient."""

    value: Array
    gradient: Array


class FlatParameters:
    """The parameters of a module, moved into one array; their gradients in a second one.

    Args:
        module: its parameters are replaced by views.
        device: where the arrays lie.
        last: names that come last, in this order; what `weights` is to take together must be neighbours.
    """

    def __init__(self, module: nn.Module, device: torch.device, last: tuple[str, ...] = ()) -> None:
        module.to(device)
        named = dict(module.named_parameters())
        parameters = [(name, named[name]) for name in (*(name for name in named if name not in last), *last)]
        count = sum(parameter.numel() for _, parameter in parameters)
        self.values = torch.zeros(count, device=device)
        self.gradients = torch.zeros(count, device=device)
        self._places: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        start = 0
        for name, parameter in parameters:
            end = start + parameter.numel()
            view = self.values[start:end].view(parameter.shape)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = self.gradients[start:end].view(parameter.shape)
            self._places[name] = (start, end, tuple(parameter.shape))
            start = end

    def weights(self, *names: str) -> Weights:
        """Neighbouring parameters as one numpy matrix or vector, which shares its memory with torch's."""
        places = [self._places[name] for name in names]
        start, end = places[0][0], places[-1][1]
        shape = (sum(place[2][0] for place in places), *places[0][2][1:])
        return Weights(self.values[start:end].numpy().reshape(shape), self.gradients[start:end].numpy().reshape(shape))


class Adam:
    """Adam (Kingma and Ba 2015) on flat parameters, after the gradient's norm was limited.

    Args:
        parameters: what is moved.
        epsilon: added to the root of the mean square.
    """

    def __init__(self, parameters: FlatParameters, epsilon: float) -> None:
        self._parameters = parameters
        self._epsilon = epsilon
        self.mean = torch.zeros_like(parameters.values)
        self.square = torch.zeros_like(parameters.values)
        self.steps = torch.zeros((), device=parameters.values.device)
        on_processor = parameters.values.device.type == "cpu"
        self._numpy_gradients = parameters.gradients.numpy() if on_processor else None

    def step(self, learning_rate: float, max_norm: float) -> float:
        """Move the parameters once by their gradients; the norm of these before it was limited."""
        gradients, as_numpy = self._parameters.gradients, self._numpy_gradients
        if as_numpy is None:
            norm = float(torch.linalg.vector_norm(gradients))
        else:
            norm = math.sqrt(float(np.dot(as_numpy, as_numpy)))
        if norm > max_norm:
            scaled = gradients if as_numpy is None else as_numpy
            scaled *= np.float32(max_norm / (norm + 1e-6))
        self.steps += 1
        # What torch.optim.Adam(fused=True) calls; its own checks take several times as long as this one call.
        torch._fused_adam_(
            [self._parameters.values],
            [gradients],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=self._epsilon,
            maximize=False,
        )
        return norm

    def arrays(self) -> dict[str, Array]:
        """The state, as a checkpoint holds it."""
        state = {"mean": self.mean, "square": self.square, "steps": self.steps.reshape(1)}
        return {f"optimizer.{name}": value.cpu().numpy().copy() for name, value in state.items()}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take over the state of a checkpoint."""
        self.mean.copy_(torch.from_numpy(arrays["optimizer.mean"]))
        self.square.copy_(torch.from_numpy(arrays["optimizer.square"]))
        self.steps.fill_(float(arrays["optimizer.steps"][0]))


class DenseLayers:
    """Dense layers as numpy goes through them, forwards and, for their gradients, backwards.

    Args:
        layers: weight and bias of each layer, in order.
        activation: between layers: tanh or relu.
    """

    def __init__(self, layers: list[tuple[Weights, Weights]], activation: str) -> None:
        self._layers = [(weight.value.T, bias.value) for weight, bias in layers]
        self._weights = layers
        self._tanh = activation == "tanh"

    def forward(self, inputs: Array) -> list[Array]:
        """What goes into each layer, and last what comes out of the last one; arrays of (batch, width)."""
        passed = [inputs]
        last = len(self._layers) - 1
        for number, (weight, bias) in enumerate(self._layers):
            inputs = inputs @ weight
            inputs += bias
            if number < last:
                if self._tanh:
                    np.tanh(inputs, out=inputs)
                else:
                    np.maximum(inputs, 0, out=inputs)
            passed.append(inputs)
        return passed

    def backward(self, passed: list[Array], slope: Array) -> None:
        """Write the gradients of all layers, for the slope of the loss by their output, (batch, width)."""
        for number in range(len(self._weights) - 1, -1, -1):
            weight, bias = self._weights[number]
            np.matmul(slope.T, passed[number], out=weight.gradient)
            slope.sum(0, out=bias.gradient)
            if number == 0:
                return
            before = passed[number]
            slope = slope @ weight.value
            if self._tanh:
                slope *= 1 - before * before
            else:
                slope *= before > 0

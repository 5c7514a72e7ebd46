"""What an agent must know of an environment: the shape of an observation, and the kind of an action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

ActionKind = Literal["discrete", "multi_discrete", "continuous"]
GRID_DIMENSIONS = 3


@dataclass(frozen=True)
class Observations:
    """The observations of an environment as arrays.

    Attributes:
        shape: of one observation; (channels, height, width) is a grid or picture and gets a convolution.
        dtype: float32, or uint8 for pictures, which are kept so in memory.
        divisor: what numbers are divided by before the network, 255 for pictures of bytes.
    """

    shape: tuple[int, ...]
    dtype: Literal["float32", "uint8"] = "float32"
    divisor: float = 1.0

    @property
    def is_grid(self) -> bool:
        """Whether a convolution reads it."""
        return len(self.shape) == GRID_DIMENSIONS

    @property
    def size(self) -> int:
        """Numbers in one observation."""
        return math.prod(self.shape)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"shape": list(self.shape), "dtype": self.dtype, "divisor": self.divisor}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The same from JSON."""
        return cls(tuple(int(one) for one in values["shape"]), values["dtype"], float(values["divisor"]))


@dataclass(frozen=True)
class Actions:
    """The actions of an environment.

    Attributes:
        kind: one choice (discrete), several at once (multi_discrete), or numbers (continuous).
        sizes: (choices,), the choices of each part, or (numbers,).
    """

    kind: ActionKind
    sizes: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Numbers that a policy gives: a logit for each choice, or a mean for each number."""
        return sum(self.sizes)

    @property
    def parts(self) -> int:
        """Numbers in one action; 0 where it is a single choice."""
        return {"discrete": 0, "multi_discrete": len(self.sizes), "continuous": self.sizes[0]}[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"kind": self.kind, "sizes": list(self.sizes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The same from JSON."""
        return cls(values["kind"], tuple(int(one) for one in values["sizes"]))

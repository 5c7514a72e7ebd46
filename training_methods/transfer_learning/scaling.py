"""The arithmetic of several devices: memory of each, and bytes that travel in an optimizer step.

ZeRO's stages: S. Rajbhandari et al., ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, 2020;
all-reduce as a ring: P. Patarasuk, X. Yuan, Bandwidth optimal all-reduce algorithms, 2009. Bytes a parameter are
those of `memory_needs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_methods.transfer_learning.fast_step.blocked_softmax import CHUNK_BYTES_GPU
from training_methods.transfer_learning.launch import Sharing
from training_methods.transfer_learning.memory_needs import FLOAT32, FOUR_BIT, FULL
from training_methods.transfer_learning.settings import Method

HALF = 2.0  # bytes of a bfloat16 number
GATHERED_LAYERS = 2  # the one that computes, and the next one on its way
LOGITS = 3 * CHUNK_BYTES_GPU
# Numbers that a layer keeps for its backward pass, a token: 8 rows as wide as the model, 3 as wide as its inner part.
KEPT_ROWS, KEPT_INNER_ROWS = 8, 3


@dataclass(frozen=True)
class ModelShape:
    """A Llama-like model, by its numbers."""

    name: str
    layers: int
    hidden: int
    inner: int
    key_values: int  # width of the keys
    vocabulary: int
    is_tied: bool = False

    @property
    def layer_matrices(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the linear layers of one layer."""
        wide, inner = self.hidden, self.inner
        attention = [(wide, wide), (wide, self.key_values), (wide, self.key_values), (wide, wide)]
        return [*attention, (wide, inner), (wide, inner), (inner, wide)]

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        return sum(inputs * outputs for inputs, outputs in self.layer_matrices) + 2 * self.hidden

    @property
    def outside(self) -> int:
        """Parameters outside of the layers: embeddings, output layer, last norm."""
        return (1 if self.is_tied else 2) * self.vocabulary * self.hidden + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.layers * self.layer + self.outside

    def adapter(self, rank: int) -> int:
        """Parameters of LoRA adapters on all linear layers."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.layer_matrices)


SHAPES = (
    ModelShape("1B", 16, 2048, 8192, 512, 128_256, is_tied=True),
    ModelShape("7B", 32, 4096, 11_008, 4096, 32_000),
    ModelShape("13B", 40, 5120, 13_824, 5120, 32_000),
    ModelShape("70B", 80, 8192, 28_672, 1024, 32_000),
)


def state_bytes(shape: ModelShape, method: Method, sharing: Sharing, devices: int, rank: int = 16) -> float:
    """Bytes of weights, gradients and optimizer on each device while it trains.

    Args:
        shape: the model.
        method: lora, qlora or full.
        sharing: what is divided over the devices.
        devices: how many there are.
        rank: of the adapters.
    """
    if method == "full":
        frozen, trained = 0.0, float(shape.parameters)
    else:
        inside = shape.layers * shape.layer
        frozen = HALF * shape.parameters if method == "lora" else FOUR_BIT * inside + HALF * shape.outside
        trained = float(shape.adapter(rank))
    weights, gradients, optimizer = FLOAT32 * trained, FLOAT32 * trained, (FULL - 2 * FLOAT32) * trained
    if sharing in ("zero1", "zero2", "zero3", "fsdp"):
        optimizer /= devices
    if sharing in ("zero2", "zero3", "fsdp"):
        gradients /= devices
    if sharing in ("zero3", "fsdp"):
        weights, frozen = weights / devices, frozen / devices
        a_number = FOUR_BIT if method == "qlora" else HALF
        frozen += GATHERED_LAYERS * shape.layer * a_number
    return weights + gradients + optimizer + frozen


def loading_bytes(shape: ModelShape, method: Method) -> float:
    """Bytes that each device needs to load the model, before anything is divided."""
    if method == "qlora":
        return FLOAT32 * shape.outside + FOUR_BIT * shape.layers * shape.layer
    return FLOAT32 * shape.parameters


def activation_bytes(shape: ModelShape, tokens: int, checkpointing: bool) -> float:
    """Bytes kept for the backward pass of so many tokens in bfloat16, and the logits held at a time."""
    a_layer = HALF * tokens * (KEPT_ROWS * shape.hidden + KEPT_INNER_ROWS * shape.inner)
    inputs = HALF * tokens * shape.hidden * shape.layers
    return (inputs + a_layer if checkpointing else shape.layers * a_layer) + LOGITS


def all_reduce_bytes(size: float, devices: int) -> float:
    """Bytes that each device sends to add up `size` bytes over all of them, in a ring."""
    return 2 * (devices - 1) / devices * size


def step_bytes(shape: ModelShape, method: Method, sharing: Sharing, devices: int, passes: int, rank: int = 16) -> float:
    """Bytes that each device sends in one optimizer step of so many passes.

    Copies of the model add up their gradients once a step. Divided weights are gathered for each forward and
    each backward pass, and gradients go to their owners after each.
    """
    trained = FLOAT32 * (shape.parameters if method == "full" else shape.adapter(rank))
    if sharing == "copies":
        return all_reduce_bytes(trained, devices)
    one_way = (devices - 1) / devices
    if sharing in ("zero1", "zero2"):  # gradients go to their owners after each pass, new weights come back once
        return one_way * trained * (passes + 1)
    inside = shape.layers * shape.layer
    weights = FOUR_BIT * inside + HALF * shape.outside if method == "qlora" else HALF * shape.parameters
    return one_way * passes * (2 * weights + trained)


def memory_table(devices: int = 8, tokens: int = 4096) -> str:
    """Markdown: gigabytes on each device, by model and way of training."""
    ways: list[tuple[str, Method, Sharing]] = [
        ("full, DDP", "full", "copies"),
        ("full, ZeRO-2", "full", "zero2"),
        ("full, FSDP or ZeRO-3", "full", "fsdp"),
        ("LoRA, DDP", "lora", "copies"),
        ("LoRA, FSDP", "lora", "fsdp"),
        ("QLoRA, DDP", "qlora", "copies"),
        ("QLoRA, FSDP", "qlora", "fsdp"),
    ]
    rows = [_row("GB on each GPU", [shape.name for shape in SHAPES]), "| --- |" + " ---: |" * len(SHAPES)]
    for name, method, sharing in ways:
        sizes = [state_bytes(shape, method, sharing, devices) for shape in SHAPES]
        rows.append(_row(name, [_gigabytes(size) for size in sizes]))
    for name, checkpointing in (("activations", False), ("activations, recomputed", True)):
        sizes = [activation_bytes(shape, tokens, checkpointing) for shape in SHAPES]
        rows.append(_row(f"+ {name}", [_gigabytes(size) for size in sizes]))
    for name, method in (("full or LoRA", "lora"), ("QLoRA", "qlora")):
        sizes = [loading_bytes(shape, method) for shape in SHAPES]
        rows.append(_row(f"to load: {name}", [_gigabytes(size) for size in sizes]))
    return "\n".join(rows)


def traffic_table(devices: int = 8, passes: int = 4) -> str:
    """Markdown: gigabytes that each device sends in a step, and the seconds of that on links of several speeds."""
    links = {"NVLink, 450 GB/s": 450e9, "PCIe 4, 25 GB/s": 25e9, "100 Gbit/s": 12.5e9, "10 Gbit/s": 1.25e9}
    rows = [_row("7B, a step", ["GB", *links]), "| --- |" + " ---: |" * (len(links) + 1)]
    ways: list[tuple[str, Method, Sharing]] = [
        ("LoRA or QLoRA, DDP", "lora", "copies"),
        ("full, DDP", "full", "copies"),
        ("full, ZeRO-2", "full", "zero2"),
        ("full, FSDP or ZeRO-3", "full", "fsdp"),
        ("LoRA, FSDP", "lora", "fsdp"),
        ("QLoRA, FSDP", "qlora", "fsdp"),
    ]
    for name, method, sharing in ways:
        size = step_bytes(SHAPES[1], method, sharing, devices, passes)
        rows.append(_row(name, [_gigabytes(size), *(_seconds(size / speed) for speed in links.values())]))
    return "\n".join(rows)


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _seconds(time: float) -> str:
    return f"{time:.0f} s" if time >= 10 else f"{time:.2g} s"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f}" if size < 1e11 else f"{size / 1e9:,.0f}"

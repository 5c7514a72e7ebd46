"""Kernels of Liger (P.-L. Hsu et al. 2024, arXiv:2410.10989) in a model, while it trains on a CUDA device.

Used when the package is installed, the architecture is one that it knows, and the model's loss with them is that
without. Written from the package's source (0.8.5); never run on a GPU here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

Undo = Callable[[], None]


def can_use_liger(device: str, is_installed: bool, is_known: bool, is_whole: bool) -> bool:
    """Whether Liger's kernels may be tried.

    Args:
        device: kind of the device.
        is_installed: whether the package is there.
        is_known: whether it knows the model's architecture.
        is_whole: whether the process holds the whole model, and not a part of its weights.
    """
    return device == "cuda" and is_installed and is_known and is_whole


def liger_is_installed() -> bool:
    """Whether the package is there, with the compiler that its kernels need."""
    return find_spec("liger_kernel") is not None and find_spec("triton") is not None


def knows(model_type: str) -> bool:
    """Whether Liger has kernels for an architecture."""
    if not liger_is_installed():
        return False
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    return model_type in MODEL_TYPE_TO_APPLY_LIGER_FN


def put_liger_in(causal: nn.Module) -> Undo:
    """Let norms, gated activations and rotary positions of a model run by Liger; the call that takes them out.

    The loss stays ours or becomes `liger_loss`: neither holds the logits of all tokens.
    """
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    def apply() -> None:
        _apply_liger_kernel_to_instance(model=causal, cross_entropy=False, fused_linear_cross_entropy=False)

    return undoable(apply, causal)


def liger_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """`supervised_loss` by Liger's kernel: the same arguments, the same sum."""
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    loss: Tensor = liger_fused_linear_cross_entropy(
        hidden, weight.to(hidden.dtype), targets, bias=bias, reduction="sum"
    )
    return loss.float()


def undoable(change: Callable[[], None], model: nn.Module) -> Undo:
    """Make a change to the attributes of a model's modules and of the files that define them; the way back."""
    places: list[dict[str, Any]] = [module.__dict__ for module in model.modules()]
    names = {type(module).__module__ for module in model.modules()}
    places += [vars(sys.modules[name]) for name in names if name.startswith("transformers.models.")]
    before = [dict(place) for place in places]
    change()
    changed = [
        (place, key, old.get(key), key in old)
        for place, old in zip(places, before, strict=True)
        for key in {*place, *old}
        if place.get(key) is not old.get(key)
    ]

    def undo() -> None:
        for place, key, value, was_there in changed:
            if was_there:
                place[key] = value
            else:
                place.pop(key, None)

    return undo

"""SecondTry: a pass that gave no number is computed once more, where that has been seen to help.

On a processor, about one short run in fifty on a base in 4 bits ended in a loss that is not a number, while the
same run repeated gave a finite one, each time the same to the last bit. The cause is not known: neither filling all
fresh and freed memory with NaN nor unmapped pages behind every tensor changed a result or was touched, and hundreds of
repeated runs, products and reads of 4-bit weights agreed to the last bit. So it is guarded against, and told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class SecondTry:
    """Runs the passes of an optimizer step, once more from the same random state where the first gave no number.

    Does nothing for a base that is not quantised, or not on a processor, or where several processes train together.

    Args:
        model: its trained weights are those whose gradients are looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        weights = list(model.parameters())
        self.is_on = any(not each.is_floating_point() and each.device.type == "cpu" for each in weights)
        self._trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]

    def __call__(self, passes: Callable[[], Tensor], step: int) -> Tensor:
        """The loss of `passes`, which leave gradients behind; nan where loss or gradients are not finite twice.

        Args:
            passes: forward and backward passes.
            step: the optimizer step, for the message.
        """
        if not self.is_on or (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return passes()
        random_state = torch.get_rng_state()
        before = [None if each.grad is None else each.grad.clone() for _, each in self._trained]
        loss = passes()
        what = self._not_finite(loss)
        if what is None:
            return loss
        for (_, each), gradient in zip(self._trained, before, strict=True):
            each.grad = gradient
        torch.set_rng_state(random_state)
        loss = passes()
        again = self._not_finite(loss)
        if again is None:
            logger.warning(
                "step %d: %s was not finite; computed again with the same records and the same random numbers "
                "everything is, and the run goes on with that",
                step,
                what,
            )
        return loss if again is None else torch.full_like(loss, float("nan"))

    def _not_finite(self, loss: Tensor) -> str | None:
        if not bool(torch.isfinite(loss).all()):
            return "the loss"
        for name, each in self._trained:
            if each.grad is not None and not bool(torch.isfinite(each.grad).all()):
                return f"the gradient of {name}"
        return None

"""FastStep: the forward passes of one optimizer step, by the fastest way that gives the same result.

What a model's architecture does not allow is left out, after a try on the model itself, and named.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training_methods.transfer_learning.fast_step import attention, gpu_attention
from training_methods.transfer_learning.fast_step.lean_modules import lean_modules
from training_methods.transfer_learning.fast_step.liger_kernels import (
    Undo,
    can_use_liger,
    knows,
    liger_is_installed,
    liger_loss,
    put_liger_in,
)
from training_methods.transfer_learning.fast_step.lora_layers import fuse_lora_layers
from training_methods.transfer_learning.fast_step.output_layer import OutputLayer, find_output_layer, output_weight
from training_methods.transfer_learning.fast_step.packing import (
    IGNORED,
    PackedRecords,
    micro_passes,
    pack,
    padded_passes,
)
from training_methods.transfer_learning.fast_step.supervised_loss import supervised_loss
from training_methods.transfer_learning.fast_step.token_losses import token_losses

SAME = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.03}  # largest relative difference of two losses
Pass = PackedRecords | dict[str, Tensor]
SummedLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]


class FastStep:
    """Computes losses of records for a model, with the layers of the model made lean while it is active.

    Args:
        model: a causal language model of transformers, or one with adapters of peft.
        most_tokens: tokens in one forward pass.
        most_records: records in one padded forward pass, where packing cannot be used.
        pad_token_id: fills the gaps of padded passes.
        packing: lay records end to end where the model allows it.
        rows_together: rows that make one record and share a pass: 2 for pairs of answers.
        fuse: put lean layers in; off under automatic mixed precision.
        only_plain: why the model must be used as it is, as a whole; empty: it need not be.

    Attributes:
        notes: what could not be used for this model, in words.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        most_tokens: int,
        most_records: int,
        pad_token_id: int,
        packing: bool = True,
        rows_together: int = 1,
        fuse: bool = True,
        only_plain: str = "",
    ) -> None:
        self.model = model
        self._most_tokens, self._most_records, self.pad_token_id = most_tokens, most_records, pad_token_id
        self.rows_together = rows_together
        self._fuse = fuse and not only_plain
        self._is_active = False
        self.notes: list[str] = [only_plain] if only_plain else []
        self.is_packed = self._has_liger = False
        self._output: OutputLayer | None = None
        if only_plain:
            return
        self._output = find_output_layer(model)
        if self._output is None:
            self.notes.append("the loss is taken from the logits of all tokens: this model changes its logits")
        self.is_packed = packing and self._output is not None and self._packing_works(self._output)
        self._has_liger = self._output is not None and self._liger_works(self._output)
        if packing and not self.is_packed:
            self.notes.append("records are padded, not packed: this model does not keep packed records apart")

    @property
    def takes_logits_in_chunks(self) -> bool:
        """Whether the logits of all tokens are never held at once."""
        return self._output is not None

    @contextmanager
    def active(self) -> Iterator[None]:
        """While this lasts, the model has its lean layers and takes packed records; within itself it is nothing new."""
        if self._is_active:
            yield
            return
        with ExitStack() as undo:
            self._is_active = True
            undo.callback(setattr, self, "_is_active", False)
            if self._fuse:
                undo.callback(fuse_lora_layers(self.model))
            if self._has_liger and self._output is not None:
                undo.callback(put_liger_in(self._output.causal))
            elif self._fuse:
                undo.callback(lean_modules(self.model))
            if self._output is not None:
                undo.callback(_give_losses(self._output, liger_loss if self._has_liger else supervised_loss))
            yield

    def passes(self, step: dict[str, Tensor]) -> list[Pass]:
        """What `StepCollator` put together, in passes that fit the memory."""
        if self.is_packed:
            return list(micro_passes(step, self._most_tokens, self.rows_together))
        return list(padded_passes(step, self._most_tokens, self._most_records, self.pad_token_id, self.rows_together))

    def keeping_apart(self, records: Pass) -> AbstractContextManager[None]:
        """Around forward and backward of a pass: recomputed layers must know the borders, too."""
        if isinstance(records, PackedRecords) and self._output is not None:
            return _kept_apart(self._output, records)
        return nullcontext()

    def loss(self, model: nn.Module, records: Pass) -> Tensor:
        """The summed loss over the supervised tokens of a pass, in nats.

        Args:
            model: the model, or what wraps it for several devices.
            records: from `passes`; to be called within `active` and `keeping_apart`.
        """
        return self._losses(model, records, one_by_one=False)

    def token_losses(self, model: nn.Module, records: Pass) -> Tensor:
        """The loss of each supervised token of a pass, in nats, in the order of rows and places; as for `loss`."""
        return self._losses(model, records, one_by_one=True)

    def _losses(self, model: nn.Module, records: Pass, one_by_one: bool) -> Tensor:
        if isinstance(records, PackedRecords):
            inputs, targets = {"input_ids": records.input_ids, "position_ids": records.position_ids}, records.targets
        else:
            inputs, targets = {name: records[name] for name in ("input_ids", "attention_mask")}, records["targets"]
        if self._output is not None:
            loss: Tensor = model(**inputs, supervised_targets=targets, one_by_one=one_by_one)
            return loss
        logits = model(**inputs, use_cache=False).logits
        supervised = targets != IGNORED
        reduction = "none" if one_by_one else "sum"
        return functional.cross_entropy(logits[supervised].float(), targets[supervised], reduction=reduction)

    def _packing_works(self, output: OutputLayer) -> bool:
        """Whether packed records keep apart; on a GPU first by its kernels, then by a mask."""
        gpu_attention.use_kernels(True)
        if self._packing_gives_the_same(output):
            return True
        if output.weight.device.type == "cpu":
            return False
        gpu_attention.use_kernels(False)
        if self._packing_gives_the_same(output):
            self.notes.append("attention by a mask: this GPU's kernels do not give the same for this model")
            return True
        return False

    def _liger_works(self, output: OutputLayer) -> bool:
        """Whether Liger's kernels can be used, and give the loss that the model has without them."""
        kind = getattr(output.causal.config, "model_type", "")
        is_installed = liger_is_installed()
        device = output.weight.device.type
        if not can_use_liger(device, is_installed, is_installed and device == "cuda" and knows(kind), self._fuse):
            return False
        ids = torch.arange(2, 66, device=output.weight.device)[None] % output.weight.shape[0]
        targets = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], IGNORED)], dim=1)
        undo: Undo | None = None
        with torch.no_grad():
            plain = float(_loss_of(output, targets, {"input_ids": ids}))
            try:
                undo = put_liger_in(output.causal)
                fused = float(_loss_of(output, targets, {"input_ids": ids}, liger_loss))
            except Exception:  # whatever a compiler of kernels may say: the model trains without them
                fused = float("nan")
            finally:
                if undo is not None:
                    undo()
        works = abs(plain - fused) <= SAME.get(output.weight.dtype, 1e-3) * abs(plain)
        if not works:
            self.notes.append("Liger's kernels are not used: they do not give the same loss for this model")
        return works

    @torch.no_grad()
    def _packing_gives_the_same(self, output: OutputLayer) -> bool:
        """Whether two records in one pass have the loss that they have alone."""
        attention.register()
        generator = torch.Generator().manual_seed(0)
        size = output.weight.shape[0]
        rows = [torch.randint(0, size, (length,), generator=generator).to(output.weight.device) for length in (9, 5)]
        was_training = self.model.training
        self.model.eval()
        try:
            alone = sum(float(_loss_alone(output, row)) for row in rows)
            packed = pack(rows, rows)
            inputs = {"input_ids": packed.input_ids, "position_ids": packed.position_ids}
            with _kept_apart(output, packed):
                together = float(_loss_of(output, packed.targets, inputs))
            if output.weight.device.type == "cuda" and output.weight.dtype == torch.float32:
                # Weights that are all trained stay in float32, and the kernels see them only as autocast has them.
                with _kept_apart(output, packed), torch.autocast("cuda", torch.bfloat16):
                    half = float(_loss_of(output, packed.targets, inputs))
                if abs(alone - half) > SAME[torch.bfloat16] * abs(alone):
                    return False
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError):
            return False
        finally:
            self.model.train(was_training)
        return abs(alone - together) <= SAME.get(output.weight.dtype, 1e-3) * abs(alone)


def _kept_apart(output: OutputLayer, records: PackedRecords) -> AbstractContextManager[None]:
    return attention.records_of_lengths(output.causal.config, records.lengths)


def _loss_of(
    output: OutputLayer,
    targets: Tensor,
    inputs: dict[str, Tensor],
    summed: SummedLoss = supervised_loss,
    one_by_one: bool = False,
) -> Tensor:
    hidden = output.decoder(**inputs, use_cache=False).last_hidden_state
    supervised = targets != IGNORED
    weight = output_weight(output.causal.get_output_embeddings())  # the rows of new tokens change from step to step
    if one_by_one:
        return token_losses(hidden[supervised], weight, output.bias, targets[supervised])
    if summed is liger_loss and not bool(supervised.any()):
        summed = supervised_loss  # a kernel over no rows cannot be started
    return summed(hidden[supervised], weight, output.bias, targets[supervised])


def _loss_alone(output: OutputLayer, row: Tensor) -> Tensor:
    logits = output.causal(input_ids=row[None], use_cache=False).logits[0, :-1].float()
    return functional.cross_entropy(logits, row[1:], reduction="sum")


def _give_losses(output: OutputLayer, summed: SummedLoss) -> Callable[[], None]:
    """Let the model itself give the loss of its targets, so that it may be wrapped for several devices."""
    usual = output.causal.forward

    @functools.wraps(type(output.causal).forward)  # generation looks at what the model takes
    def forward(
        self: Any,
        *args: Any,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        supervised_targets: Tensor | None = None,
        one_by_one: bool = False,
        **options: Any,
    ) -> Any:
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids}
        inputs = {name: tensor for name, tensor in given.items() if tensor is not None}
        if supervised_targets is None:
            return usual(*args, **inputs, **options)
        return _loss_of(output, supervised_targets, inputs, summed, one_by_one)

    output.causal.forward = types.MethodType(forward, output.causal)

    def restore() -> None:
        del output.causal.__dict__["forward"]

    return restore

"""QLoRAFineTuner: low-rank adapters on a quantised model (Dettmers et al. 2023, arXiv:2305.14314)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, PreTrainedModel

from shared_utils.errors import missing_package
from shared_utils.model_utils import load_base_model
from shared_utils.settings import checked
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.launch import current_launch
from training_methods.transfer_learning.models.four_bit import correct_scales, keep_differentiable
from training_methods.transfer_learning.models.lora_model import ALL_LINEAR, LoRAFineTuner
from training_methods.transfer_learning.settings import QLoRASettings


class QLoRAFineTuner(LoRAFineTuner):
    """Trains adapters on a base whose linear layers are stored in 4 (or 8) bits.

    What is saved is a plain adapter, which fits the full-precision base; `merge` merges into that one, because
    inside 4 bits most of what was learnt would be rounded away.

    Args:
        model_name: hub name, model folder or `starter`.
        load_in_4bit: 4 bits a weight; False takes 8 (LLM.int8, Dettmers et al. 2022).
        lora_r, lora_alpha, lora_dropout, target_modules and the variants: as for `LoRAFineTuner`, but
            `init_lora_weights` cannot be `pissa`, which needs full-precision weights.
        bnb_4bit_use_double_quant: quantise the scales of the blocks, too.
        bnb_4bit_quant_type: nf4 or fp4.
        bnb_4bit_compute_dtype: bfloat16, float16 or float32, for products with 4-bit weights.
        device, seed, chat_template, new_tokens: as for `FineTuner`.

    Raises:
        ConfigurationError: settings that do not go together, or bitsandbytes is not installed.
    """

    method = "qlora"
    settings: QLoRASettings

    def __init__(
        self,
        model_name: str = "starter",
        load_in_4bit: bool = True,
        lora_r: int = 64,
        lora_alpha: int = 16,
        lora_dropout: float = 0.1,
        target_modules: str | Sequence[str] = ALL_LINEAR,
        *,
        bnb_4bit_use_double_quant: bool = True,
        bnb_4bit_quant_type: str = "nf4",
        bnb_4bit_compute_dtype: str = "bfloat16",
        use_rslora: bool = False,
        use_dora: bool = False,
        init_lora_weights: str = "default",
        lora_plus_ratio: float | None = None,
        modules_to_save: Sequence[str] = (),
        new_tokens: Sequence[str] = (),
        device: str = "auto",
        seed: int = 42,
        chat_template: str | None = None,
    ) -> None:
        if find_spec("bitsandbytes") is None:
            raise missing_package("bitsandbytes", "QLoRA")
        self.settings = checked(
            QLoRASettings,
            {
                "model_name": model_name,
                "lora_r": lora_r,
                "lora_alpha": lora_alpha,
                "lora_dropout": lora_dropout,
                "target_modules": target_modules if isinstance(target_modules, str) else list(target_modules),
                "use_rslora": use_rslora,
                "use_dora": use_dora,
                "init_lora_weights": init_lora_weights,
                "lora_plus_ratio": lora_plus_ratio,
                "modules_to_save": list(modules_to_save),
                "new_tokens": list(new_tokens),
                "quantization": {
                    "load_in_4bit": load_in_4bit,
                    "bnb_4bit_use_double_quant": bnb_4bit_use_double_quant,
                    "bnb_4bit_quant_type": bnb_4bit_quant_type,
                    "bnb_4bit_compute_dtype": bnb_4bit_compute_dtype,
                },
            },
        )
        # Not LoRAFineTuner's: its settings are those of the other section.
        FineTuner.__init__(
            self, model_name, device=device, seed=seed, chat_template=chat_template, new_tokens=new_tokens
        )

    def _build_model(self) -> PreTrainedModel:
        chosen = self.settings.quantization
        if chosen.load_in_4bit:
            correct_scales()
            quantization = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_use_double_quant=chosen.bnb_4bit_use_double_quant,
                bnb_4bit_quant_type=chosen.bnb_4bit_quant_type,
                bnb_4bit_compute_dtype=getattr(torch, chosen.bnb_4bit_compute_dtype),
                bnb_4bit_quant_storage=storage_of(chosen.bnb_4bit_compute_dtype, current_launch().divides_weights),
            )
        else:
            quantization = BitsAndBytesConfig(load_in_8bit=True)
        base = load_base_model(self.model_name, self.device.type, quantization)
        self.bytes_before_quantization = sum(number_of_weights(weight) * 4 for weight in base.parameters())
        self.bytes_after_quantization = sum(bytes_of(weight) for weight in base.parameters())
        let_go_of_the_file(base)
        keep_differentiable(base)
        # Whether activations are recomputed is decided by the training settings, not here; either way the
        # gradients have to find their way through the frozen embeddings.
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
        base.enable_input_require_grads()
        return self._with_adapter(base)

    def parameter_counts(self) -> tuple[int, int]:
        """Trainable and total parameters; two weights share a byte, but are counted as two."""
        trainable = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        return trainable, sum(number_of_weights(weight) for weight in self.model.parameters())

    def memory(self) -> dict[str, int]:
        """Bytes by part: weights as they are held, scales of the blocks included, gradients and optimizer."""
        return {**super().memory(), "weights": sum(bytes_of(weight) for weight in self.model.parameters())}


def storage_of(compute_dtype: str, divides_weights: bool) -> torch.dtype:
    """The type that 4-bit weights are packed into.

    FSDP divides floating-point tensors only, so bytes would stay whole in every process; the bits are the same.
    """
    if not divides_weights:
        return torch.uint8
    return torch.float16 if compute_dtype == "float16" else torch.bfloat16


def let_go_of_the_file(model: torch.nn.Module) -> None:
    """Copy what was not quantised, so that the mapped file of full-precision weights can leave the memory."""
    for weight in model.parameters():
        if weight.is_floating_point() and getattr(weight, "quant_state", None) is None:
            weight.data = weight.data.clone()


def number_of_weights(weight: torch.Tensor) -> int:
    """Weights in a parameter, also in a packed one."""
    state = getattr(weight, "quant_state", None)
    return int(state.shape.numel()) if state is not None else weight.numel()


def bytes_of(weight: torch.Tensor) -> int:
    """Bytes that a parameter takes with its scales."""
    scales = [*_tensors(getattr(weight, "quant_state", None)), getattr(weight, "SCB", None)]
    return weight.numel() * weight.element_size() + sum(
        tensor.numel() * tensor.element_size() for tensor in scales if isinstance(tensor, torch.Tensor)
    )


def _tensors(state: object) -> Iterator[torch.Tensor]:
    while state is not None:  # with double quantisation the scales have scales of their own
        yield from (value for value in vars(state).values() if isinstance(value, torch.Tensor))
        state = getattr(state, "state2", None)

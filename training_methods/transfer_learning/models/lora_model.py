"""LoRAFineTuner: low-rank adapters on a full-precision model (Hu et al. 2021, arXiv:2106.09685).

Variants, each a setting: rsLoRA (Kalajdzievski 2023, arXiv:2312.03732), DoRA (Liu et al. 2024, arXiv:2402.09353),
LoRA+ (Hayou et al. 2024, arXiv:2402.12354), PiSSA (Meng et al. 2024, arXiv:2404.02948), OLoRA (Büyükakyüz 2024,
arXiv:2406.01775).
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel, Trainer
from transformers.pytorch_utils import Conv1D

from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import TEMPORARY_PREFIX
from shared_utils.model_utils import load_base_model
from shared_utils.settings import checked, nearest
from shared_utils.vocabulary import make_room
from training_methods.transfer_learning.adapter_merging import CHECK_TEXTS, MergeReport, mean_loss, merge_adapter
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.settings import LoRASettings, QLoRASettings

ALL_LINEAR = "all-linear"
# These take their part of the weights out of the base; the adapter alone would not fit the base any more.
CHANGES_BASE = ("pissa", "olora")


class LoRAFineTuner(FineTuner):
    """Trains adapters of rank `lora_r` and leaves the model under them as it is.

    Args:
        model_name: hub name, model folder or `starter`.
        lora_r: rank of the adapters.
        lora_alpha: the update is scaled by `lora_alpha / lora_r`.
        lora_dropout: dropout before each adapter.
        target_modules: `all-linear`, or names of modules; unknown names are an error.
        use_rslora, use_dora, init_lora_weights, lora_plus_ratio, modules_to_save,
            new_tokens: as in `LoRASettings`.
        device, seed, chat_template: as for `FineTuner`.

    Raises:
        ConfigurationError: settings that are wrong or do not go together.
    """

    method = "lora"
    settings: LoRASettings | QLoRASettings

    def __init__(
        self,
        model_name: str = "starter",
        lora_r: int = 16,
        lora_alpha: int = 32,
        lora_dropout: float = 0.1,
        target_modules: str | Sequence[str] = ALL_LINEAR,
        *,
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
        self.settings = checked(
            LoRASettings,
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
            },
        )
        super().__init__(model_name, device=device, seed=seed, chat_template=chat_template, new_tokens=new_tokens)

    def _build_model(self) -> PreTrainedModel:
        return self._with_adapter(load_base_model(self.model_name, self.device.type))

    def _with_adapter(self, base: PreTrainedModel) -> PreTrainedModel:
        settings = self.settings
        targets = settings.target_modules
        if targets != ALL_LINEAR:
            targets = [targets] if isinstance(targets, str) else list(targets)
            check_target_modules(base, targets)
        check_modules_to_save(base, settings.modules_to_save)
        rows = self._rows_of_new_tokens(base)
        config = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=targets,
            use_rslora=settings.use_rslora,
            use_dora=settings.use_dora,
            init_lora_weights=True if settings.init_lora_weights == "default" else settings.init_lora_weights,
            modules_to_save=settings.modules_to_save or None,
            trainable_token_indices=rows or None,
            # Where input and output embeddings are one matrix, a trained copy of one must stay both.
            ensure_weight_tying=bool(settings.modules_to_save) and bool(base.config.tie_word_embeddings),
            # GPT-2 keeps its weights transposed.
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        )
        model = get_peft_model(base, config)
        if rows:
            # Rows of other tokens stay those of the base, so none but the new ones belong into the files.
            model.save_pretrained = functools.partial(model.save_pretrained, save_embedding_layers=False)
        self._initial = _adapter_weights(model) if settings.init_lora_weights in CHANGES_BASE else None
        return model

    def _rows_of_new_tokens(self, base: PreTrainedModel) -> dict[str, list[int]]:
        """Module name -> the rows of the new tokens, for the embeddings and an output layer of its own.

        Raises:
            ConfigurationError: one of these modules is trained in full already.
        """
        if not self.new_tokens:
            return {}
        make_room(base, len(self.tokenizer))
        ids = [int(self.tokenizer.convert_tokens_to_ids(token)) for token in dict.fromkeys(self.new_tokens)]
        table, head = base.get_input_embeddings(), base.get_output_embeddings()
        names = {name.rsplit(".", 1)[-1]: module for name, module in base.named_modules() if module in (table, head)}
        both = [name for name in names if name in self.settings.modules_to_save]
        if both:
            raise ConfigurationError(
                f"new_tokens does not go with modules_to_save {both[0]}, which trains the rows of all tokens",
                hint="leave one of the two out",
            )
        # Where both are one matrix, peft gives the output layer the rows of the embeddings.
        names = {name: each for name, each in names.items() if each is table or each.weight is not table.weight}
        return dict.fromkeys(names, ids)

    def _before_training(self, trainer: Trainer) -> None:
        ratio = self.settings.lora_plus_ratio
        if ratio is None:
            return
        from peft.optimizers import create_loraplus_optimizer

        kind, options = Trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
        rate = options.pop("lr")
        trainer.optimizer = create_loraplus_optimizer(
            trainer.model,
            kind,
            lr=rate,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=trainer.args.weight_decay,
            **options,
        )

    def _save_weights(self, folder: Path) -> None:
        """Write the adapter so that it fits the unchanged base, whatever it started from."""
        if self._initial is None:
            whole = {} if self.whole_weights is None else {"state_dict": self.whole_weights}
            self.model.save_pretrained(folder, safe_serialization=True, **whole)
            return
        # What was learnt is B A - B0 A0; peft writes it as one adapter of twice the rank.
        config: Any = self.model.peft_config["default"]
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advises the conversion that is being done
            start = Path(place) / "start"
            config.save_pretrained(start)
            save_file(self._initial, start / "adapter_model.safetensors")
            self.model.save_pretrained(
                folder, safe_serialization=True, path_initial_model_for_weight_conversion=str(start)
            )

    def merge(self, output_dir: str | Path, check_texts: Sequence[str] = CHECK_TEXTS) -> MergeReport:
        """Write the trained adapter and its full-precision base as one plain model.

        Args:
            output_dir: the new model folder.
            check_texts: texts on which the written model must answer like base and adapter.

        Raises:
            TrainingError: it does not; nothing is left.
        """
        target = Path(output_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=target.parent) as folder:
            adapter = Path(folder) / "adapter"
            self.save(adapter)
            report = merge_adapter(adapter, target, device=self.device.type, check_texts=check_texts)
        self.model.eval()
        return replace(report, trained_loss=mean_loss(self.model, self.tokenizer, check_texts))


def check_target_modules(model: torch.nn.Module, names: Sequence[str]) -> None:
    """Refuse names that match no linear layer of the model.

    Raises:
        ConfigurationError: lists the names that are present.
    """
    present = sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, (torch.nn.Linear, Conv1D)) and not name.endswith("lm_head")
        }
    )
    _refuse_unknown("target_modules", model, names, present, "use all-linear")


def check_modules_to_save(model: torch.nn.Module, names: Sequence[str]) -> None:
    """Refuse names that match no module of the model.

    Raises:
        ConfigurationError: lists the modules outside of the layers, which are the ones mostly meant.
    """
    layered = {
        name.rsplit(".", 1)[-1] for name, _ in model.named_modules() if any(p.isdigit() for p in name.split("."))
    }
    with_weights = {
        name.rsplit(".", 1)[-1] for name, module in model.named_modules() if list(module.parameters(recurse=False))
    }
    _refuse_unknown(
        "modules_to_save", model, names, sorted(with_weights - layered) + sorted(with_weights & layered), ""
    )


def _refuse_unknown(
    setting: str, model: torch.nn.Module, names: Sequence[str], present: Sequence[str], otherwise: str
) -> None:
    unknown = [name for name in names if name not in present and not _is_path_of(model, name)]
    if unknown:
        guess = nearest(unknown[0], present)
        raise ConfigurationError(
            f"{setting}: this model has no module '{unknown[0]}'; it has {', '.join(present)}",
            hint=f"did you mean {guess}?" if guess else otherwise,
        )


def _is_path_of(model: torch.nn.Module, name: str) -> bool:
    return "." in name and any(full.endswith(name) for full, _ in model.named_modules())


def _adapter_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    weights = get_peft_model_state_dict(model)
    return {name: weight.detach().cpu().clone().contiguous() for name, weight in weights.items()}

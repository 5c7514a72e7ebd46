"""From the settings of a way of fine-tuning to its tuner."""

from __future__ import annotations

from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.settings import DPOSettings, FullSettings, LoRASettings, MethodSettings


def build_tuner(settings: MethodSettings, *, device: str = "auto", seed: int = 42) -> FineTuner:
    """Load the model and mark what is trained; the settings carry the names of the tuner's arguments."""
    chat_template = settings.training.chat_template
    if isinstance(settings, FullSettings):
        from training_methods.transfer_learning.models.full_model import FullFineTuner

        return FullFineTuner(
            settings.model_name,
            device=device,
            seed=seed,
            chat_template=chat_template,
            new_tokens=settings.new_tokens,
        )
    if isinstance(settings, DPOSettings):
        return _preference_tuner(settings, device, seed)
    adapter = settings.model_dump(exclude={"training", "quantization"})
    if isinstance(settings, LoRASettings):
        from training_methods.transfer_learning.models.lora_model import LoRAFineTuner

        return LoRAFineTuner(**adapter, device=device, seed=seed, chat_template=chat_template)
    from training_methods.transfer_learning.models.qlora_model import QLoRAFineTuner

    quantization = settings.quantization.model_dump()
    return QLoRAFineTuner(**adapter, **quantization, device=device, seed=seed, chat_template=chat_template)


def _preference_tuner(settings: DPOSettings, device: str, seed: int) -> FineTuner:
    """The tuner of adapters on the base as it is, or in 4 bits, with pairs as its objective."""
    from training_methods.transfer_learning.models.lora_model import LoRAFineTuner
    from training_methods.transfer_learning.models.qlora_model import QLoRAFineTuner
    from training_methods.transfer_learning.preferences.objective import PreferencePairs

    kind = QLoRAFineTuner if settings.load_in_4bit else LoRAFineTuner
    adapter = settings.model_dump(include=set(LoRASettings.model_fields) - {"training"})
    tuner = kind(**adapter, device=device, seed=seed, chat_template=settings.training.chat_template)
    tuner.objective = PreferencePairs(settings.beta, settings.loss_type, settings.label_smoothing)
    return tuner

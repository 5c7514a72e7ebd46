"""Settings of fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared_utils.settings import Settings


class TrainingSettings(Settings):
    """How long, how fast and on what batches a model is trained."""

    num_train_epochs: float = Field(3, gt=0, description="passes over the training records")
    max_steps: int | None = Field(None, ge=1, description="stop after this many optimizer steps (wins over epochs)")
    per_device_train_batch_size: int = Field(4, ge=1, description="records in one forward pass")
    gradient_accumulation_steps: int = Field(4, ge=1, description="forward passes summed into one optimizer step")
    warmup_steps: int = Field(
        100, ge=0, description="steps until the learning rate is reached; at most a tenth of the run"
    )
    learning_rate: float = Field(2e-4, gt=0, le=1, description="peak learning rate")
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "cosine", description="how the learning rate falls after the warm-up"
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    max_length: int = Field(512, ge=8, description="tokens in a record; what is longer is cut and counted")
    save_steps: int | None = Field(
        500, ge=1, description="steps between checkpoints; null takes checkpoint.save_frequency"
    )
    logging_steps: int = Field(10, ge=1, description="steps between two lines of metrics.jsonl")
    eval_split: float = Field(
        0.1, ge=0, le=0.5, description="share of the records held out when no evaluation file is given"
    )
    train_on_prompt: bool = Field(False, description="take the loss on prompts too, not on answers only")
    strict: bool = Field(False, description="make every unusable record an error instead of counting it")
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, more time")
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32", description="number format of the computation; fp16 needs a CUDA device"
    )
    chat_template: str | None = Field(
        None,
        description="chatml, alpaca, vicuna, llama3, zephyr, mistral, gemma, qwen or a file; null: the model's own",
    )


class LoRASettings(Settings):
    """Low-rank adapters on a full-precision model (Hu et al. 2021)."""

    model_name: str = Field("starter", min_length=1, description="hub name, model folder or starter")
    lora_r: int = Field(16, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(32, ge=1, description="the update is scaled by lora_alpha / lora_r")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="dropout before each adapter")
    target_modules: str | list[str] = Field(
        "all-linear", description="all-linear, or names of modules that get an adapter"
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="the training run")


class TransferLearningSettings(Settings):
    """Fine-tuning of language models."""

    lora: LoRASettings = Field(default_factory=LoRASettings, description="LoRA")


class LoggingSettings(Settings):
    """Where the course of a run is recorded, besides metrics.jsonl."""

    use_tensorboard: bool = Field(True, description="write TensorBoard event files")
    use_wandb: bool = Field(False, description="record with Weights & Biases (pip install wandb)")
    wandb_project: str = Field("llm-complete-toolkit", description="name of the Weights & Biases project")
    log_dir: str | None = Field(
        None, description="folder of event files and bug reports; null: tensorboard/ in the run folder, and ./logs"
    )


class CheckpointSettings(Settings):
    """Which states of a run are kept."""

    save_frequency: int = Field(500, ge=1, description="steps between checkpoints where training.save_steps is null")
    max_checkpoints: int = Field(5, ge=1, description="checkpoints kept; the best and the newest always stay")
    save_best_only: bool = Field(False, description="keep only the best and the newest checkpoint")


class EarlyStoppingSettings(Settings):
    """When to stop because the held-out loss no longer falls."""

    patience: int = Field(5, ge=0, description="evaluations without improvement before stopping; 0 never stops")
    min_delta: float = Field(0.001, ge=0, description="smallest fall of the held-out loss that counts")
    restore_best_weights: bool = Field(True, description="end with the weights of the best evaluation")


class InRunEvaluationSettings(Settings):
    """What is measured while a model trains."""

    eval_frequency: int = Field(500, ge=1, description="steps between evaluations; at least ten in a run")
    eval_steps: int = Field(100, ge=1, description="most batches of one evaluation")
    generate_samples: bool = Field(True, description="write sample replies at each evaluation")
    num_samples: int = Field(5, ge=1, description="sample replies at each evaluation")

"""Settings of fine-tuning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from shared_utils.settings import Settings

Schedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"]
Initialisation = Literal["default", "gaussian", "pissa", "olora"]
PreferenceLoss = Literal["sigmoid", "ipo", "hinge"]


NEW_TOKENS = (
    "tokens that the vocabulary gets where it lacks them, for example <|im_start|> and <|im_end|> for chatml; "
    "their embeddings are trained"
)


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
    lr_scheduler_type: Schedule = Field("cosine", description="how the learning rate falls after the warm-up")
    optim: Optimizer = Field(
        "adamw_torch", description="optimizer; those with 8bit keep its state in 8 bits (Dettmers et al. 2021)"
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay of the optimizer")
    neftune_noise_alpha: float | None = Field(
        None,
        gt=0,
        description="noise on the embeddings while training, 5 to 15 (NEFTune, Jain et al. 2023); null: none",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    max_length: int = Field(512, ge=8, description="tokens in a record; what is longer is cut and counted")
    save_steps: int | None = Field(
        500, ge=1, description="steps between checkpoints; null takes checkpoint.save_frequency"
    )
    logging_steps: int = Field(10, ge=1, description="steps between two lines of metrics.jsonl; at least ten in a run")
    eval_split: float = Field(
        0.1, ge=0, le=0.5, description="share of the records held out when no evaluation file is given"
    )
    train_on_prompt: bool = Field(False, description="take the loss on prompts too, not on answers only")
    strict: bool = Field(False, description="make every unusable record an error instead of counting it")
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, more time")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto",
        description="number format of the computation; auto takes bf16 where this machine is clearly faster with it",
    )
    tf32: bool = Field(True, description="float32 products on GPUs with 10 bits behind the point: faster, less exact")
    torch_compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="compile the model; auto does it for long runs on a GPU whose batches keep their shapes",
    )
    packing: bool = Field(
        True, description="lay records end to end, each seeing itself alone; off fills batches up with padding"
    )
    chat_template: str | None = Field(
        None,
        description="chatml, alpaca, vicuna, llama3, zephyr, mistral, gemma, qwen or a file; null: the model's own",
    )


class QLoRATrainingSettings(TrainingSettings):
    """Training on a quantised base: one record at a time, sixteen to a step."""

    per_device_train_batch_size: int = Field(1, ge=1, description="records in one forward pass")
    gradient_accumulation_steps: int = Field(16, ge=1, description="forward passes summed into one optimizer step")


class FullTrainingSettings(TrainingSettings):
    """Training of every weight: a tenth of the learning rate of adapters."""

    learning_rate: float = Field(2e-5, gt=0, le=1, description="peak learning rate")


class _AdapterSettings(Settings):
    """What LoRA and QLoRA share."""

    model_name: str = Field("starter", min_length=1, description="hub name, model folder, registered name or starter")
    lora_r: int = Field(16, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(32, ge=1, description="the update is scaled by lora_alpha / lora_r")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="dropout before each adapter")
    target_modules: str | list[str] = Field(
        "all-linear", description="all-linear, or names of modules that get an adapter"
    )
    use_rslora: bool = Field(
        False, description="scale by lora_alpha / sqrt(lora_r), for high ranks (rsLoRA, Kalajdzievski 2023)"
    )
    use_dora: bool = Field(False, description="train size and direction of weights apart (DoRA, Liu et al. 2024)")
    init_lora_weights: Initialisation = Field(
        "default",
        description="start of the adapters: default (B is zero), gaussian, pissa (Meng et al. 2024), "
        "olora (Büyükakyüz 2024)",
    )
    lora_plus_ratio: float | None = Field(
        None, ge=1, description="learning rate of B over that of A, for example 16 (LoRA+, Hayou et al. 2024); null: 1"
    )
    modules_to_save: list[str] = Field(
        [], description="modules trained in full beside the adapters, for example lm_head or embed_tokens"
    )
    new_tokens: list[str] = Field([], description=NEW_TOKENS)

    @model_validator(mode="after")
    def _pissa_and_olora_stand_alone(self) -> Self:
        if self.init_lora_weights in ("pissa", "olora"):
            for name in ("use_dora", "modules_to_save", "new_tokens"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} does not go with init_lora_weights {self.init_lora_weights}, which changes the base"
                    )
        return self


class LoRASettings(_AdapterSettings):
    """Low-rank adapters on a full-precision model (Hu et al. 2021)."""

    training: TrainingSettings = Field(default_factory=TrainingSettings, description="the training run")


class QuantizationSettings(Settings):
    """How the weights under QLoRA adapters are stored."""

    load_in_4bit: bool = Field(True, description="4 bits a weight (Dettmers et al. 2023); off: 8 bits (LLM.int8)")
    bnb_4bit_use_double_quant: bool = Field(True, description="quantise the scales of 4-bit blocks, too")
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field("nf4", description="values that 4 bits stand for")
    bnb_4bit_compute_dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16", description="number format of products with 4-bit weights"
    )


class QLoRASettings(_AdapterSettings):
    """Low-rank adapters on a quantised model (Dettmers et al. 2023)."""

    lora_r: int = Field(64, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(16, ge=1, description="the update is scaled by lora_alpha / lora_r")
    quantization: QuantizationSettings = Field(
        default_factory=QuantizationSettings, description="how the base is stored"
    )
    training: QLoRATrainingSettings = Field(default_factory=QLoRATrainingSettings, description="the training run")

    @model_validator(mode="after")
    def _start_fits_the_quantisation(self) -> Self:
        if self.init_lora_weights == "pissa":
            raise ValueError("init_lora_weights pissa needs full-precision weights, so it goes with train-lora only")
        if self.use_dora and not self.quantization.load_in_4bit:
            raise ValueError("use_dora needs load_in_4bit: peft does not know the norms of 8-bit weights")
        return self


class FullSettings(Settings):
    """Training of every weight."""

    model_name: str = Field("starter", min_length=1, description="hub name, model folder, registered name or starter")
    new_tokens: list[str] = Field([], description=NEW_TOKENS)
    training: FullTrainingSettings = Field(default_factory=FullTrainingSettings, description="the training run")


class DPOTrainingSettings(TrainingSettings):
    """Training on preference pairs: once over them, in small steps."""

    num_train_epochs: float = Field(1, gt=0, description="passes over the training records")
    learning_rate: float = Field(5e-6, gt=0, le=1, description="peak learning rate")

    @model_validator(mode="after")
    def _answers_against_their_reference(self) -> Self:
        if self.train_on_prompt:
            raise ValueError("train_on_prompt does not go with preference pairs, whose prompts are the same")
        if self.neftune_noise_alpha is not None:
            raise ValueError("neftune_noise_alpha does not go with preference pairs: the reference has no noise")
        return self


class DPOSettings(LoRASettings):
    """Direct Preference Optimization of low-rank adapters (Rafailov et al. 2023)."""

    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before each adapter; the reference never has any")
    load_in_4bit: bool = Field(False, description="store the base in 4 bits, as train-qlora does")
    beta: float = Field(
        0.1, gt=0, description="how strongly the model is held to its reference (Rafailov et al. 2023, equation 7)"
    )
    loss_type: PreferenceLoss = Field(
        "sigmoid", description="sigmoid (DPO), ipo (Azar et al. 2023; beta is its tau) or hinge (Zhao et al. 2023)"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs labelled the wrong way round (conservative DPO, Mitchell 2023)"
    )
    training: DPOTrainingSettings = Field(default_factory=DPOTrainingSettings, description="the training run")

    @model_validator(mode="after")
    def _the_reference_is_the_base(self) -> Self:
        if self.init_lora_weights in ("pissa", "olora"):
            raise ValueError(
                f"init_lora_weights {self.init_lora_weights} changes the base, so switching the adapter off would "
                "not give the reference; leave it at default"
            )
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError(f"label_smoothing goes with loss_type sigmoid, not {self.loss_type}")
        return self


MethodSettings = LoRASettings | QLoRASettings | FullSettings  # a DPOSettings is a LoRASettings
Method = Literal["lora", "qlora", "full", "dpo"]


class TransferLearningSettings(Settings):
    """Fine-tuning of language models."""

    lora: LoRASettings = Field(default_factory=LoRASettings, description="LoRA: adapters on a full-precision base")
    qlora: QLoRASettings = Field(default_factory=QLoRASettings, description="QLoRA: adapters on a quantised base")
    full: FullSettings = Field(default_factory=FullSettings, description="every weight is trained")
    dpo: DPOSettings = Field(default_factory=DPOSettings, description="DPO: adapters taught by preference pairs")

    def of(self, method: Method) -> MethodSettings:
        """The section of one way of fine-tuning."""
        settings: MethodSettings = getattr(self, method)
        return settings


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

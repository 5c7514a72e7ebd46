"""Settings of GRPO: reinforcement learning of a language model with a reward that a program gives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from shared_utils.settings import Settings

LossVariant = Literal["grpo", "dr_grpo", "dapo", "bnpo"]


class GRPOTrainingSettings(Settings):
    """How long a model is trained, and on how many answers at once."""

    max_steps: int = Field(40, ge=1, description="optimizer steps, each on new answers")
    questions_per_step: int = Field(8, ge=1, description="questions of a step; each is answered num_generations times")
    per_device_train_batch_size: int | None = Field(
        None, ge=1, description="answers in one backward pass, a divisor of all answers of a step; null: all of them"
    )
    save_steps: int = Field(20, ge=1, description="steps between checkpoints; a run has at least two")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    train_questions: int = Field(1000, ge=1, description="different questions that an environment is asked for")
    eval_questions: int = Field(
        200, ge=2, description="held-out questions of an environment, answered before and after the training"
    )
    eval_split: float = Field(0.1, gt=0, le=0.5, description="share of the records of --train-data that is held out")


class GRPOSettings(Settings):
    """Group Relative Policy Optimization of low-rank adapters (Shao et al. 2024, arXiv:2402.03300)."""

    model_name: str = Field("starter", min_length=1, description="hub name, model folder, run folder or starter")
    reward: str | None = Field(
        None,
        description="module:function or path/to/file.py:function that rates answers; null: the environment's reward",
    )
    lora_r: int = Field(16, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(32, ge=1, description="the update is scaled by lora_alpha / lora_r")
    target_modules: str | list[str] = Field(
        "all-linear", description="all-linear, or names of modules that get an adapter"
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="of AdamW, the same from the first step to the last")
    num_generations: int = Field(
        8, ge=2, description="answers to each question; they are rated beside each other (the G of section 4.1)"
    )
    max_completion_length: int | None = Field(
        None, ge=1, description="tokens of an answer at most; null: what the environment needs, with --train-data 256"
    )
    temperature: float = Field(1.0, gt=0, le=2, description="of the answers sampled in training")
    beta: float = Field(
        0.04, ge=0, description="how strongly the model is held to where it started (equation 3; 0.04 in section 4.2)"
    )
    loss_type: LossVariant = Field(
        "grpo",
        description="mean over the tokens of each answer (grpo, equation 3), or over fixed lengths (dr_grpo, Liu et "
        "al. 2025), all tokens of a step (dapo, Yu et al. 2025) or of a pass (bnpo)",
    )
    chat_template: str | None = Field(
        None,
        description="chatml, alpaca, vicuna, llama3, zephyr, mistral, gemma, qwen or a file; null: the model's own",
    )
    training: GRPOTrainingSettings = Field(default_factory=GRPOTrainingSettings, description="the training run")

    @property
    def answers_per_step(self) -> int:
        """Answers that one optimizer step learns from."""
        return self.training.questions_per_step * self.num_generations

    @property
    def answers_per_pass(self) -> int:
        """Answers in one backward pass."""
        return self.training.per_device_train_batch_size or self.answers_per_step

    @model_validator(mode="after")
    def _passes_make_a_step(self) -> Self:
        if self.answers_per_step % self.answers_per_pass:
            raise ValueError(
                f"training.per_device_train_batch_size {self.answers_per_pass} does not divide the "
                f"{self.answers_per_step} answers of a step (training.questions_per_step "
                f"{self.training.questions_per_step} times num_generations {self.num_generations})"
            )
        return self

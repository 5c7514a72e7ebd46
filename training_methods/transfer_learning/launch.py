"""What `accelerate launch` chose for a run: whether weights are divided, and what that forbids.

The launcher tells it in the environment, so it is known before a model is loaded. This is the one place that
decides what the fast step may do.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared_utils.errors import ConfigurationError, missing_extra

Sharing = Literal["copies", "fsdp", "zero1", "zero2", "zero3"]


@dataclass(frozen=True)
class Launch:
    """How the processes of a run share its work.

    Attributes:
        sharing: copies: every process holds the model (one process, or DDP); fsdp and zero3: weights, gradients
            and optimizer are divided over them; zero2: gradients and optimizer; zero1: the optimizer.
    """

    sharing: Sharing = "copies"

    @property
    def divides_weights(self) -> bool:
        """Whether no process holds the whole model, so that no layer can be used on its own."""
        return self.sharing in ("fsdp", "zero3")

    @property
    def every_pass_talks(self) -> bool:
        """Whether each pass needs all processes, so that all must go through equally many."""
        return self.sharing != "copies"

    @property
    def is_deepspeed(self) -> bool:
        """Whether DeepSpeed runs the backward pass and the optimizer."""
        return self.sharing.startswith("zero")

    @property
    def note(self) -> str:
        """Why the fast step is not used, in words; empty when it is."""
        if not self.divides_weights:
            return ""
        name = "FSDP" if self.sharing == "fsdp" else "DeepSpeed ZeRO-3"
        return f"plain layers, padded records and logits of all tokens: {name} divides the weights over processes"


def may_skip_weights(config: Any) -> bool:
    """Whether a pass over text may leave weights of a model out: those of experts, or of its eyes and ears."""
    text = config.get_text_config()
    return text is not config or any("expert" in name and value for name, value in text.to_dict().items())


def current_launch() -> Launch:
    """What the launcher of this process chose.

    Raises:
        ConfigurationError: DeepSpeed was chosen and is not installed, or FSDP in a way that is not known here.
    """
    if _is_on("ACCELERATE_USE_FSDP"):
        if _is_on("ACCELERATE_USE_CPU"):
            # Every process would hold the whole model, without a word.
            raise ConfigurationError(
                "FSDP needs GPUs: on processors accelerate does not divide the weights",
                hint="use configs/accelerate/two_cpu_processes.yaml, or a machine with GPUs",
            )
        if os.environ.get("FSDP_VERSION", "1") != "2":
            raise ConfigurationError(
                "the settings file asks for the first version of FSDP, which is not used here",
                hint="write fsdp_version: 2 under fsdp_config, as in configs/accelerate/fsdp_full.yaml",
            )
        return Launch("fsdp")
    if _is_on("ACCELERATE_USE_DEEPSPEED"):
        from importlib.util import find_spec

        if find_spec("deepspeed") is None:
            raise missing_extra("deepspeed", "deepspeed", "this accelerate settings file")
        stages: dict[int, Sharing] = {1: "zero1", 2: "zero2", 3: "zero3"}
        return Launch(stages.get(_zero_stage(), "copies"))
    return Launch()


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").casefold() in ("true", "1")


def _zero_stage() -> int:
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "")
    if file and Path(file).is_file():
        settings = json.loads(Path(file).read_text(encoding="utf-8"))
        return int(settings.get("zero_optimization", {}).get("stage", 0))
    return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))

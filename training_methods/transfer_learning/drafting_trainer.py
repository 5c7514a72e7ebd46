"""DraftingTrainer: transformers' Trainer whose checkpoints can be written beside their place, without pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer


class DraftingTrainer(Trainer):
    """What our trainers share when they write: while `_checkpoint_root` is set, the library writes below it."""

    _checkpoint_root: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        root = self._checkpoint_root
        return str(root) if root is not None else str(super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # A pickle of the arguments; config.yaml and run.json say the same without running code.
        Path(output_dir or self.args.output_dir, "training_args.bin").unlink(missing_ok=True)

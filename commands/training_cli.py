"""TrainingCLIUtils: the command line of the training commands, for programs of your own.

args, config = TrainingCLIUtils.parse("lora")          # the flags of train-lora, files and presets included
tuner = config.create_tuner(device=args.device, seed=args.seed)
data = tuner.prepare_instruction_dataset(load_records(args.train_data).records, config.settings.training.max_length)
tuner.train(data, config.run_dir, training=config.settings.training)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from commands.options import Parser, add_global_options, load_settings, run_dir_of
from commands.requests import with_settled_model
from commands.train_options import add_training_arguments
from shared_utils.console import Console
from training_methods.training_config import TrainingConfig
from training_methods.transfer_learning.settings import Method


class TrainingCLIUtils:
    """The same flags, meanings, defaults and errors as `train-lora`, `train-qlora` and `train-full`."""

    @staticmethod
    def parser(method: Method, description: str | None = None) -> argparse.ArgumentParser:
        """A parser with the flags of one way of fine-tuning, to which others may be added."""
        parser = Parser(prog=Path(sys.argv[0]).name or "train", description=description)
        add_training_arguments(parser, method)
        add_global_options(parser)
        return parser

    @staticmethod
    def parse(
        method: Method, words: Sequence[str] | None = None, parser: argparse.ArgumentParser | None = None
    ) -> tuple[argparse.Namespace, TrainingConfig]:
        """The arguments, and the checked training that they, files and defaults make together.

        Args:
            method: lora, qlora or full.
            words: the command line; None takes that of the program.
            parser: of `TrainingCLIUtils.parser`, with flags of your own.

        Returns:
            The arguments, among them `train_data`, `seed` and `device`; and the training.

        Raises:
            LLMToolkitError: there is no such model.
            ConfigurationError: a flag, key or value is unknown or out of range; names the nearest one.
        """
        parser = parser or TrainingCLIUtils.parser(method)
        args, unknown = parser.parse_known_args(words)
        if unknown and isinstance(parser, Parser):
            parser.refuse(unknown)
        settings = with_settled_model(load_settings(args, parser).config, method, Console())
        args.seed, args.device = settings.common.seed, settings.common.device
        config = TrainingConfig(
            strategy=method,
            settings=settings.transfer_learning.of(method),
            run_dir=run_dir_of(method, args, Path(settings.common.output_dir)),
            checkpoint=settings.checkpoint,
            early_stopping=settings.early_stopping,
            evaluation=settings.evaluation,
            logging=settings.logging,
        )
        return args, config

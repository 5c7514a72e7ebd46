"""The commands: one module each, loaded when it is called.

A command module offers `EXAMPLE` (a line that can be pasted), `configure(parser)`, which adds its
arguments, and `run(args, config, console)`, which does the work and returns a `CommandResult`.
"""

from __future__ import annotations

HELP_BY_COMMAND = {
    "extract": "turn documents into chunks and instruction pairs",
    "train-lora": "fine-tune a model with low-rank adapters",
    "train-qlora": "fine-tune low-rank adapters on a base stored in 4 bits",
    "train-full": "fine-tune every weight of a model",
    "train-dpo": "teach adapters which of two answers is preferred",
    "chat": "talk to a model",
    "pipeline": "the whole way: documents to a tuned model, measured against the base",
    "create-samples": "write sample documents and records to try everything with",
    "config": "print the merged settings, each with where it came from",
    "doctor": "what this machine can do, and what to do about each gap",
}

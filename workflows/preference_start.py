"""Where a training on pairs or rewards starts: mostly from what fine-tuning on answers left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shared_utils.console import Console
from shared_utils.model_names import locate_model
from shared_utils.run_lock import run_lock
from workflows.fine_tuning_request import FineTuneRequest


def from_whole_model(request: FineTuneRequest, console: Console, *, may_merge: bool = True) -> FineTuneRequest:
    """The request with an adapter for its model turned into that adapter merged into its base; see `whole_model`."""
    name = whole_model(request.settings.model_name, console, may_merge=may_merge)
    return replace(request, settings=request.settings.model_copy(update={"model_name": name}))


def whole_model(name: str, console: Console, *, may_merge: bool = True) -> str:
    """The model to start from: an adapter is merged into its base, anything else stays as it is.

    The new adapter is switched off to get the reference, so what was learnt before has to be part of the base. The
    merged model stands where `--merge` would have written it, and is written now if it is not there yet. Where it may
    not be (`may_merge`), as in a dry run, the base of the adapter takes its place: it is of the same size.

    Raises:
        DataValidationError, TrainingError: the adapter cannot be merged.
    """
    location = locate_model(name)
    if location.kind != "adapter":
        return name
    merged = Path(location.source) / "merged"
    if not (merged / "config.json").is_file():
        if not may_merge:
            console.info(f"{location.name} is an adapter; the run will merge it first, its base is looked at now")
            return location.base or ""
        from training_methods.transfer_learning.adapter_merging import merge_adapter

        console.info(f"{location.name} is an adapter; merging it into its base {location.base}, to start from both")
        with run_lock(Path(location.source)):
            console.info(f"merged: {merge_adapter(Path(location.source), merged).in_words()}")
    console.info(f"starting from {merged}, which is also the reference")
    return str(merged)

"""Loading models and tokenizers: safetensors only, no code of theirs, the same way everywhere."""

from __future__ import annotations

import json
import logging
import os
import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from shared_utils.chat_templates import template_by_name
from shared_utils.errors import ConfigurationError, DataValidationError, LLMToolkitError
from shared_utils.file_utils import write_json_atomic
from shared_utils.model_names import ModelLocation, locate_base, locate_model
from shared_utils.prompt_formats import attach_chat_template
from shared_utils.vocabulary import add_tokens, make_room

# Results and progress are told by the toolkit; the library's bars and advice would mix with them.
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
# transformers 5.23 with peft 0.21: peft still reads an attribute that transformers has renamed.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


def respect_thread_limit() -> None:
    """Let torch have no more threads than OMP_THREAD_LIMIT allows.

    oneDNN (of torch 2.13) divides a product in bfloat16 among as many threads as torch has; what falls to a thread
    that the limit keeps from starting is never computed, and without an error a part of the result is old memory.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdecimal() and 0 < int(limit) < torch.get_num_threads():
        torch.set_num_threads(int(limit))


respect_thread_limit()

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device to run on; `auto` takes CUDA, then Apple's GPU, then the processor.

    Raises:
        ConfigurationError: a device was named that is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name, False):
        raise ConfigurationError(f"the device '{name}' is not available on this machine", hint="use --device auto")
    return torch.device(name)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    import numpy

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def load_tokenizer(
    name: str, chat_template: str | None = None, new_tokens: Sequence[str] = ()
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, with a chat template and a padding token.

    Args:
        name: whatever `locate_model` accepts.
        chat_template: name of a built-in template or a file; None keeps the model's own.
        new_tokens: added where the tokenizer lacks them.
    """
    location = locate_model(name)
    with _clear_load_errors(location):
        tokenizer = AutoTokenizer.from_pretrained(
            location.source, trust_remote_code=False, local_files_only=location.is_local
        )
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.pad_token = spare_token(tokenizer) or tokenizer.eos_token
    if new_tokens:
        template = template_by_name(chat_template) if chat_template else str(tokenizer.chat_template or "")
        add_tokens(tokenizer, new_tokens, template)
    attach_chat_template(tokenizer, chat_template, location.name)
    return tokenizer


def spare_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A token to fill gaps with that is not the end token, or None when the tokenizer has no spare one.

    Loss and attention here go by masks, not by this id; but other programs that read the saved tokenizer leave
    padding out of the loss by its id, and with it every end token, so that models trained there never stop.
    """
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    named = [token for token in special if "pad" in token.casefold()]
    reserved = [token for token in special if "reserved" in token.casefold() or "unused" in token.casefold()]
    candidates = [*named, *reserved, tokenizer.unk_token, tokenizer.bos_token]
    return next((token for token in candidates if token and token != tokenizer.eos_token), None)


def load_model(name: str, device: str = "auto", dtype: str = "float32") -> PreTrainedModel:
    """A causal language model in evaluation mode; an adapter folder gives its base with the adapter on.

    Args:
        name: whatever `locate_model` accepts.
        device: auto, cpu, cuda or mps.
        dtype: float32, bf16 or fp16.
    """
    location = locate_model(name)
    if location.kind != "adapter":
        return _load_base(location, dtype).to(pick_device(device)).eval()
    from peft import PeftConfig, PeftModel

    base = _load_base(locate_model(location.base or ""), dtype)
    with _clear_load_errors(location), warnings.catch_warnings():
        # Weights that the file lacks would stay at their start, as if they had never been trained.
        warnings.filterwarnings("error", message="Found missing adapter keys")
        make_room(base, rows_needed(PeftConfig.from_pretrained(location.source)))
        try:
            model = PeftModel.from_pretrained(base, location.source, is_trainable=False)
        except UserWarning as error:
            raise ValueError(str(error)) from None
    return model.to(pick_device(device)).eval()


def rows_needed(config: Any) -> int:
    """Rows of embeddings that an adapter with rows of its own for new tokens expects of its base."""
    rows = getattr(config, "trainable_token_indices", None) or {}
    return max((max(ids) + 1 for ids in (rows.values() if isinstance(rows, dict) else [rows]) if ids), default=0)


def load_base_model(name: str, device: str, quantization: Any = None) -> PreTrainedModel:
    """A model to be trained, its weights in float32 or quantised.

    Args:
        name: a model, not an adapter.
        device: cpu, cuda or mps.
        quantization: a `BitsAndBytesConfig`, or None.

    Raises:
        DataValidationError: the folder holds an adapter, or the model cannot be loaded.
    """
    location = locate_base(name)
    if quantization is None:
        return _load_base(location, "float32").to(pick_device(device))
    # Quantised weights cannot be moved afterwards, so they are placed while they load.
    place = f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device  # each process has its own
    return _load_base(location, "float32", quantization_config=quantization, device_map={"": place})


def _load_base(location: ModelLocation, dtype: str, **placement: Any) -> PreTrainedModel:
    with _clear_load_errors(location):
        model, report = AutoModelForCausalLM.from_pretrained(
            location.source,
            dtype=DTYPES[dtype],
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=location.is_local,
            output_loading_info=True,
            **placement,
        )
    _refuse_made_up_weights(location.name, report)
    return cast(PreTrainedModel, model)


def _refuse_made_up_weights(name: str, report: dict[str, Any]) -> None:
    """The library fills weights that no file holds with random numbers; such a model is none."""
    missing, unused = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing:
        raise DataValidationError(
            f"the model '{name}' lacks {len(missing)} of the weights that its config.json speaks of, "
            f"for example {missing[0]}",
            hint="config.json and the safetensors files belong to different models; copy the model folder again",
        )
    if unused:
        logging.getLogger(__name__).warning(
            "%s: %d weights are not used by its architecture, for example %s", name, len(unused), unused[0]
        )


class _clear_load_errors:
    """Turn a library's refusal to load into one line that names the model."""

    def __init__(self, location: ModelLocation) -> None:
        self.location = location

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or (
            not isinstance(error, (OSError, ValueError, KeyError, RuntimeError, TypeError))
            and (type(error).__module__.split(".")[0] not in FOREIGN)
        ):
            return
        name = self.location.name
        for kind_name, (what, hint) in HUB_REFUSALS.items():
            if any(type(cause).__name__ == kind_name for cause in _causes(error)):
                raise DataValidationError(f"the model '{name}' {what}", hint=hint.format(name=name)) from error
        for words, what in ARCHITECTURES.items():
            if words in str(error):
                raise DataValidationError(
                    f"the model '{name}' {what}", hint="take a model of the Llama, Qwen, Mistral, Gemma or GPT-2 family"
                ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataValidationError(
            f"the model '{name}' cannot be loaded: {reason:.300}",
            hint="check that the folder is whole: config.json, tokenizer.json and safetensors files",
        ) from error


# Libraries whose refusals have classes of their own.
FOREIGN = ("safetensors", "safetensors_rust", "tokenizers", "huggingface_hub")
# What transformers says of models that it cannot train, and what that means.
ARCHITECTURES = {
    "does not recognize this architecture": "is of an architecture that the installed transformers does not know",
    "Should have a `model_type` key": "does not say its architecture (model_type in config.json)",
    "Unrecognized configuration class": "is no model that continues a text (a causal language model)",
}
# What a hub answers, in the order in which its errors are derived from each other.
HUB_REFUSALS = {
    "GatedRepoError": (
        "is gated: its owner wants a licence to be accepted first",
        "accept it at https://huggingface.co/{name}, then log in with: hf auth login",
    ),
    "RepositoryNotFoundError": (
        "does not exist on the hub, or is private",
        "check the spelling; for a private one log in with: hf auth login",
    ),
}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def save_whole_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model with its tokenizer so that any program can load it and knows where an answer ends.

    Args:
        model, tokenizer: what is written.
        folder: the new model folder.
        weights: all weights, where the model itself holds a part of them only; None takes the model's.

    Raises:
        LLMToolkitError: the weights could not be written.
    """
    stops = stop_token_ids(tokenizer)
    generation = model.generation_config
    if generation is not None and stops:
        # Programs that read only this file must stop at the end of an answer too.
        generation.eos_token_id = stops
        generation.pad_token_id = tokenizer.pad_token_id
        if not generation.do_sample:
            # Some published models keep a temperature that nothing uses; transformers refuses to write it.
            generation.temperature = generation.top_p = generation.top_k = None
    try:
        model.save_pretrained(folder, state_dict=weights)
    except SafetensorError as error:
        raise LLMToolkitError(
            f"the weights cannot be written: {error}", hint="make room on the disk and run it again"
        ) from error
    tokenizer.save_pretrained(folder)
    # transformers 5 keeps the template in a file of its own; older readers look only here.
    config_path = folder / "tokenizer_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    write_json_atomic(config_path, {**config, "chat_template": tokenizer.chat_template})


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids after which an answer has ended: the end token and the end-of-turn tokens in use."""
    names = (tokenizer.eos_token, "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>", "<|end|>")
    vocabulary = tokenizer.get_vocab()
    return sorted({vocabulary[name] for name in names if name and name in vocabulary})

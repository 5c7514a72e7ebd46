"""A random two-layer Llama and a tokenizer of bytes: real classes, made in a moment, without a download."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from shared_utils.records import Record

torch.set_num_threads(1)  # for tensors this small, handing work to threads costs more than the work

PAD, TURN_START, TURN_END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Each byte is a token, and there are three control tokens."""
    names = [PAD, TURN_START, TURN_END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(BPE(vocab={name: index for index, name in enumerate(names)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def tiny_model(context: int = 256, seed: int = 0) -> PreTrainedModel:
    """Weights are drawn wide, so that likeliest tokens are clearly ahead and depend on the prompt."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def save_tiny_model(folder: Path, context: int = 256) -> Path:
    """A model folder as hubs have it."""
    tiny_model(context).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def save_tiny_adapter(folder: Path, base: Path) -> Path:
    """An adapter folder whose weights are not zero, so that it changes the answers."""
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = LlamaForCausalLM.from_pretrained(base, trust_remote_code=False, local_files_only=True)
    get_peft_model(model, config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def qa_record(question: str, answer: str, identity: str = "r1") -> Record:
    """A record of one question and its answer."""
    return {
        "id": identity,
        "source": "test",
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
    }

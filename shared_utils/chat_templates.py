"""Chat templates that come with the toolkit, and the check of ones that do not.

A template is a program: it arrives with a model and runs on every prompt. It is tried out in a process
of its own, with limits of time and memory, before it is used here.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from shared_utils.errors import ConfigurationError, SecurityError
from shared_utils.settings import nearest

NO_END = "it does not end"
PROBE_SECONDS = 20.0  # where only wall time can be limited; else the probe's own limit of processor time ends it

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
    " + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ALPACA = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}"
    "{% else %}{{ '### Input:\\n' + message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT:' + ' ' + message['content'] + eos_token + '\\n' }}"
    "{% else %}{{ 'USER: ' + message['content'] + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role']"
    " + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
# The first question carries the system text, as the models of these families were trained without a system turn.
MISTRAL = (
    "{% set ns = namespace(lead='', tools='') %}{{ bos_token }}"
    "{% if tools %}{% set ns.tools = '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' %}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'system' %}{% set ns.lead = message['content'] + '\\n\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ ns.tools + '[INST] ' + ns.lead + message['content'] + ' [/INST]' }}"
    "{% set ns.lead = '' %}{% set ns.tools = '' %}"
    "{% elif message['role'] == 'tool' %}{{ '[TOOL_RESULTS] ' + message['content'] + '[/TOOL_RESULTS]' }}"
    "{% else %}{% if message['content'] %}{{ ' ' + message['content'] }}{% endif %}"
    "{% if message['tool_calls'] %}{{ '[TOOL_CALLS] [' }}{% for call in message['tool_calls'] %}"
    "{{ (call['function'] | tojson) + ('' if loop.last else ', ') }}{% endfor %}{{ ']' }}{% endif %}"
    "{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{% set ns = namespace(lead='') %}{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'system' %}{% set ns.lead = message['content'] + '\\n\\n' %}"
    "{% else %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' + ns.lead"
    " + message['content'] + '<end_of_turn>\\n' }}{% set ns.lead = '' %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
QWEN = (
    "{% set ns = namespace(tools='') %}{% if tools %}{% set ns.tools = '\\n\\n# Tools\\n\\n<tools>' %}"
    "{% for tool in tools %}{% set ns.tools = ns.tools + '\\n' + (tool | tojson) %}{% endfor %}"
    '{% set ns.tools = ns.tools + \'\\n</tools>\\n\\nCall one by <tool_call>\\n{"name": NAME, "arguments": {...}}\\n'
    "</tool_call>' %}"
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system' + ns.tools[1:] + '<|im_end|>\\n' }}{% endif %}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + message['content'] + '\\n</tool_response><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{% if message['role'] == 'system' %}{{ ns.tools }}{% endif %}"
    "{% for call in message['tool_calls'] or [] %}"
    "{% if message['content'] %}{{ '\\n' }}{% elif not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ '<tool_call>\\n{\"name\": ' + (call['function']['name'] | tojson) + ', \"arguments\": '"
    " + (call['function']['arguments'] | tojson) + '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML, "alpaca": ALPACA, "vicuna": VICUNA, "llama3": LLAMA3, "zephyr": ZEPHYR,
    "mistral": MISTRAL, "gemma": GEMMA, "qwen": QWEN,
}  # fmt: skip

# The tokens a template is built on; on a tokenizer without them it would be plain, splittable text.
REQUIRED_TOKENS = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}


def template_by_name(name: str) -> str:
    """The text of a built-in template or of a template file.

    Raises:
        ConfigurationError: neither exists.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    path = Path(name)
    if not path.is_file():
        guess = nearest(name, TEMPLATES)
        hint = f"did you mean {guess}? known: " if guess else "known: "
        raise ConfigurationError(f"no chat template '{name}'", hint=hint + ", ".join(TEMPLATES) + ", or a file")
    return path.read_text(encoding="utf-8")


def check_chat_template(template: str, owner: str) -> None:
    """Try a template on sample conversations, apart from this process.

    Raises:
        SecurityError: it breaks the sandbox, does not end (within a second of the processor), or fails on every sample.
    """
    if template in TEMPLATES.values():
        return
    problem = _probe(template)
    if problem:
        raise SecurityError(
            f"the chat template of {owner} is refused: {problem}",
            hint="choose another with --chat-template, for example chatml",
        )


@cache
def _probe(template: str) -> str | None:
    probe = Path(__file__).with_name("template_probe.py")
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(probe)],
            input=json.dumps(template).encode(),
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return NO_END
    if done.returncode < 0:  # ended by the limit of processor time
        return NO_END
    if done.returncode != 0:
        return done.stdout.decode("utf-8", "replace").strip()[:200] or "it uses too much memory"
    return None


def digest(template: str) -> str:
    """A short name for a template's exact text, for run records."""
    return hashlib.sha256(template.encode("utf-8")).hexdigest()[:16]

"""Preference pairs from files: a prompt with a chosen and a rejected answer, in the shapes that are in use.

    {"prompt": "Who sings?", "chosen": "The kettle.", "rejected": "The cat."}
    {"prompt": [{"role": "user", "content": "Who sings?"}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [{"role": "user", ...}, ...]}

The prompt may also be called `question`, be an `instruction` with its `input`, or a list of ShareGPT turns
(`conversations`). Where both answers are whole conversations, what they share is the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared_utils.data_loader import KEYS_BY_KIND, UnusableRecord, to_record, unusable
from shared_utils.errors import DataValidationError
from shared_utils.records import Message, PreferencePair, Record

ANSWERS = ("chosen", "rejected")
PROMPTS = ("prompt", "question", "instruction", "conversations")


def to_pair(row: Mapping[str, Any], where: str) -> PreferencePair:
    """One preference pair of any accepted shape in its normal form.

    Raises:
        UnusableRecord: a part is missing or empty, the answers are equal, or belong to different prompts.
        DataValidationError: it is no preference pair, or a field is not of its type.
    """
    if not any(name in row for name in ANSWERS):
        raise _no_pair(row, where)
    for name in ANSWERS:
        if row.get(name) in (None, "", []):
            raise UnusableRecord(where, f"an empty or missing '{name}'")
    prompt = _prompt(row, where)
    chosen, rejected = (_turns(row[name], "assistant", name, where) for name in ANSWERS)
    if chosen == rejected:
        raise UnusableRecord(where, "equal answers")
    prompt, chosen, rejected = _divided(prompt, chosen, rejected, row, where)
    pair: PreferencePair = {
        "id": str(row.get("id") or where),
        "source": where,
        "messages": prompt,
        "chosen": chosen,
        "rejected": rejected,
    }
    if row.get("tools"):
        pair["tools"] = to_record({"messages": [], "tools": row["tools"]}, where)["tools"]
    for answer in (chosen, rejected):
        conversation: Record = {"id": pair["id"], "source": where, "messages": [*prompt, *answer]}
        reason = "no answer at the end" if answer[-1]["role"] != "assistant" else unusable(conversation)
        if reason:
            raise UnusableRecord(where, reason)
    return pair


def _prompt(row: Mapping[str, Any], where: str) -> list[Message]:
    """The turns before the answers as far as they have a key of their own; the system text is the first one."""
    name = next((name for name in PROMPTS if row.get(name)), None)
    value = row[name] if name else []
    if name == "instruction" and row.get("input"):
        value = f"{value}\n\n{row['input']}"
    turns = _turns(value, "user", name or "prompt", where)
    if row.get("system") and not (turns and turns[0]["role"] == "system"):
        turns = [*_turns(row["system"], "system", "system", where), *turns]
    return turns


def _turns(value: Any, role: str, name: str, where: str) -> list[Message]:
    """A text as one turn of this role, a turn, or a list of turns; those of ShareGPT have `from` and `value`."""
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise DataValidationError(
            f"{where}: '{name}' is of type {type(value).__name__}",
            hint="it must be text or a list of messages; see docs/data-format.md",
        )
    kind = "conversations" if value and "from" in value[0] else "messages"
    return to_record({kind: value}, f"{where}, {name}")["messages"]


def _divided(
    prompt: list[Message], chosen: list[Message], rejected: list[Message], row: Mapping[str, Any], where: str
) -> tuple[list[Message], list[Message], list[Message]]:
    """Prompt and answers, also where the answers came as whole conversations."""
    starts = {answer[0]["role"] for answer in (chosen, rejected)}
    if starts == {"assistant"}:
        if not prompt:
            raise UnusableRecord(where, "an empty or missing 'prompt'")
        return prompt, chosen, rejected
    shared = next(
        (place for place, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other),
        min(len(chosen), len(rejected)),
    )
    whole = chosen[:shared]
    if not whole or not all(answer[shared:] and answer[shared]["role"] == "assistant" for answer in (chosen, rejected)):
        raise UnusableRecord(where, "different prompts before its answers")
    if "system" in row and whole[0]["role"] != "system":
        whole = [*prompt[:1], *whole]
    # What is said twice must be the same: a text that one of the turns is, or turns that stand at the beginning.
    if isinstance(row.get("prompt"), list):
        agrees = whole[: len(prompt)] == prompt
    else:
        agrees = all(turn in whole for turn in prompt)
    if not agrees:
        raise UnusableRecord(where, "a 'prompt' that its answers do not begin with")
    return whole, chosen[shared:], rejected[shared:]


def _no_pair(row: Mapping[str, Any], where: str) -> DataValidationError:
    found = ", ".join(sorted(map(str, row)))[:200] or "none"
    kind = next((kind for kind, keys in KEYS_BY_KIND.items() if all(key in row for key in keys)), None)
    if kind is None:
        hint = "train-dpo needs 'prompt', 'chosen' and 'rejected'; see docs/data-format.md"
    else:
        hint = f"records of the kind '{kind}' are for train-lora, train-qlora and train-full"
    return DataValidationError(f"{where}: no preference pair (keys found: {found})", hint=hint)

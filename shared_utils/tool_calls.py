"""Tools in training records: what an assistant called, in the form that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared_utils.errors import DataValidationError

HINT = 'a call looks like {"function": {"name": "...", "arguments": {...}}}'


def turn_keys(turn: Mapping[str, Any], role: str, where: str) -> dict[str, Any]:
    """The keys of a turn that belong to tools, checked; arguments given as JSON text become an object.

    Raises:
        DataValidationError: a call has no name, or arguments that are no JSON.
    """
    keys: dict[str, Any] = {}
    if role == "assistant" and turn.get("tool_calls"):
        keys["tool_calls"] = [_call(call, where) for call in tool_list(turn["tool_calls"], "tool_calls", where)]
    if role == "tool":
        keys |= {key: str(turn[key]) for key in ("tool_call_id", "name") if turn.get(key) is not None}
    return keys


def tool_list(value: Any, key: str, where: str) -> list[dict[str, Any]]:
    """A list of objects, also when it is given as JSON text, as tables hold it.

    Raises:
        DataValidationError: it is something else.
    """
    if isinstance(value, str):
        value = _parsed(value, key, where)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataValidationError(f"{where}: '{key}' must be a list of objects", hint=HINT)
    return value


def _call(call: dict[str, Any], where: str) -> dict[str, Any]:
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise DataValidationError(f"{where}: a tool call without a name", hint=HINT)
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = _parsed(arguments, "arguments", where)
    if not isinstance(arguments, dict):
        raise DataValidationError(f"{where}: the arguments of '{function['name']}' are no object", hint=HINT)
    found: dict[str, Any] = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    if call.get("id"):
        found["id"] = str(call["id"])
    return found


def _parsed(text: str, key: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise DataValidationError(f"{where}: '{key}' is not valid JSON", hint=HINT) from None

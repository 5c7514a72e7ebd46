"""Conversations: recording them.

The names below load their module on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conversation_data.conversation_logger import ConversationLogger

__all__ = ["ConversationLogger"]

_MODULE_BY_NAME = {"ConversationLogger": "conversation_data.conversation_logger"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_BY_NAME[name]), name)

"""Settings of talking to a model."""

from __future__ import annotations

from pydantic import Field

from shared_utils.settings import Settings


class SamplingSettings(Settings):
    """How the next token is chosen."""

    temperature: float = Field(0.0, ge=0, le=5, description="0 always takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="smallest share of probability to choose from")
    max_new_tokens: int = Field(256, ge=1, description="longest answer, in tokens")
    system: str | None = Field(None, description="system text put before the conversation")

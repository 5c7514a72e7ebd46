"""Settings of the measurement of a finished model."""

from __future__ import annotations

from pydantic import Field

from shared_utils.settings import Settings


class ComparisonSettings(Settings):
    """How base and tuned model are measured and compared."""

    max_new_tokens: int = Field(128, ge=1, description="longest answer that is generated, in tokens")
    batch_size: int = Field(16, ge=1, description="questions answered at once")
    max_samples: int | None = Field(None, ge=1, description="questions used; null takes all")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="coverage of the intervals")
    bootstrap_resamples: int = Field(10_000, ge=100, description="resamples behind each interval")

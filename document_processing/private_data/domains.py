"""Which endings a host name may have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# Kept for examples and for networks of one's own (RFC 2606, RFC 6762, and what routers hand out).
RESERVED = frozenset({"example", "test", "invalid", "local", "localdomain", "internal", "intranet", "lan", "corp"})


@lru_cache(maxsize=1)
def _public_suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@lru_cache(maxsize=4096)
def is_top_level_domain(name: str) -> bool:
    """Whether a last label such as `com`, `укр` or `xn--p1ai` exists or is kept for examples."""
    name = name.casefold()
    if len(name) < 2 or name.isdigit():
        return False
    # Two labels before it, for endings that have only second levels (`co.ck`).
    return name in RESERVED or _public_suffixes().publicsuffix(f"a.b.{name}") is not None

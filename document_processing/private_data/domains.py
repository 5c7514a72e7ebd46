"""Which endings a host name may have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from shared_utils.errors import ConfigurationError

# Kept for examples and for networks of one's own (RFC 2606, RFC 6762, and what routers hand out).
RESERVED = frozenset({"example", "test", "invalid", "local", "localdomain", "internal", "intranet", "lan", "corp"})
INSTALL_HINT = 'pip install "llm-complete-toolkit[redact]"'


@lru_cache(maxsize=1)
def _public_suffixes() -> Any:
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError as error:
        raise ConfigurationError("redaction needs the package 'publicsuffixlist'", hint=INSTALL_HINT) from error
    return PublicSuffixList(accept_unknown=False, only_icann=True)


@lru_cache(maxsize=4096)
def is_top_level_domain(name: str) -> bool:
    """Whether a last label such as `com`, `укр` or `xn--p1ai` exists or is kept for examples."""
    name = name.casefold()
    if len(name) < 2 or name.isdigit():
        return False
    # Two labels before it, for endings that have only second levels (`co.ck`).
    return name in RESERVED or _public_suffixes().publicsuffix(f"a.b.{name}") is not None

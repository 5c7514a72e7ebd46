"""Renders one chat template, read as JSON from standard input, on sample conversations; run as a script.

Exit code 0 when at least one sample renders; else 1, with the reason on standard output.
"""

from __future__ import annotations

import json
import re
import sys

CPU_SECONDS = 1  # of the processor: on a busy machine a sane template must not be taken for an endless one
MEMORY_BYTES = 512 * 1024 * 1024
MAX_OUTPUT_CHARACTERS = 1_000_000
USER = {"role": "user", "content": "How are you?"}
SAMPLES = (
    [USER],
    [USER, {"role": "assistant", "content": "Well."}],
    [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "Well."}, USER],
)


class _TemplateRefusal(Exception):
    """The template itself declined a sample through `raise_exception`."""


def main() -> int:
    """Limit this process, then render."""
    _limit_resources()
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", json.load(sys.stdin))
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: "2000-01-01"
    reason = "it renders none of the sample conversations"
    rendered = 0
    try:
        compiled = environment.from_string(template)
    except TemplateError as error:
        return _fail(f"it is not a valid template: {error}")
    for messages in SAMPLES:
        try:
            text = compiled.render(
                messages=messages,
                add_generation_prompt=True,
                bos_token="<s>",
                eos_token="</s>",
                tools=None,
            )
        except SecurityError as error:
            return _fail(f"it reaches outside of its sandbox: {error}")
        except MemoryError:
            return _fail("it uses too much memory")
        except Exception as error:
            if not isinstance(error, _TemplateRefusal):
                reason = f"it fails: {type(error).__name__}: {error}"
            if "Range too big" in str(error):
                return _fail(str(error))
            continue
        if len(text) > MAX_OUTPUT_CHARACTERS:
            return _fail("it makes far too much text")
        rendered += 1
    return 0 if rendered else _fail(reason)


def _refuse(message: str) -> None:
    raise _TemplateRefusal(message)


def _fail(reason: str) -> int:
    print(reason)
    return 1


def _limit_resources() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # Windows has no such limits; the outer time limit still holds


if __name__ == "__main__":
    sys.exit(main())

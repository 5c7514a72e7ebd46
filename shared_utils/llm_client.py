"""One question, one answer: a client for OpenAI-compatible endpoints (LM Studio, Ollama, vLLM, `serve`).

Only the address that was given is ever contacted: proxies of the environment and redirects are not followed.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared_utils.errors import ConfigurationError, LLMToolkitError, missing_package

if TYPE_CHECKING:
    import httpx2

API_KEY_VARIABLE = "LLM_API_KEY"
MOST_BYTES = 4 * 2**20  # of one reply
MOST_TRIES = 5
LONGEST_PAUSE_SECONDS = 30.0
_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
HOW_TO_START = (
    "start the server and run the same command again: LM Studio: `lms server start` (port 1234), "
    "Ollama: `ollama serve` (http://127.0.0.1:11434/v1)"
)


class EndpointError(LLMToolkitError):
    """The endpoint cannot be used at all: it does not answer, or refuses every request."""


class AnswerError(LLMToolkitError):
    """One request failed for good; others may succeed."""


def is_loopback(url: str) -> bool:
    """Whether what is sent to the address stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_url(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        ConfigurationError: it is no HTTP address, or holds a password or key, which would end up in logs.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"llm_url: {url!r} is no address", hint="such as http://127.0.0.1:1234/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "llm_url must hold neither a password nor a key",
            hint=f"put the key into the environment variable {API_KEY_VARIABLE}",
        )
    return url.rstrip("/")


class LLMClient:
    """Asks the model behind an OpenAI-compatible address; may be shared by threads.

    Args:
        url: such as `http://127.0.0.1:1234/v1`.
        model: the name the endpoint knows; empty takes the first it lists.
        timeout_seconds: most time for one answer.
        first_pause_seconds: the pause before the second try, doubled before each further one.
    """

    def __init__(self, url: str, model: str = "", *, timeout_seconds: float = 120, first_pause_seconds: float = 1.0):
        self.url, self.model = checked_url(url), model
        self._timeout_seconds, self._first_pause = timeout_seconds, first_pause_seconds
        self._takes_schema = True
        self._stop = threading.Event()
        self._key = os.environ.get(API_KEY_VARIABLE, "")
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigurationError(f"{API_KEY_VARIABLE} holds characters that no key has", hint="set it anew")
        self._client = self._http_client()

    def _http_client(self) -> httpx2.Client:
        try:
            import httpx2
        except ImportError:
            raise missing_package("httpx2", "--instruction-source llm") from None
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(self._timeout_seconds, connect=min(10.0, self._timeout_seconds)),
            trust_env=False,
            follow_redirects=False,
        )

    def connect(self) -> str:
        """Make sure that the endpoint answers; the name of the model.

        Raises:
            EndpointError: it does not, or no model was named and it lists none.
        """
        status, reply = self._tried(lambda: self._request("GET", "/models", None), tries=1)
        if status in (401, 403):
            raise self._refused(status, reply)
        listed = [entry["id"] for entry in _list_of(reply, "data") if isinstance(entry.get("id"), str)]
        self.model = self.model or next(iter(listed), "")
        if not self.model:
            raise EndpointError(f"{self.url} lists no model", hint="load one there, or name it with --llm-model")
        return self.model

    def ask(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], most_tokens: int) -> str:
        """The text that the model answers with.

        Args:
            messages: with `role` and `content`.
            schema: JSON schema of the answer, sent where the endpoint takes one.
            most_tokens: longest answer.

        Raises:
            EndpointError: the endpoint is gone, or refuses the key or the model.
            AnswerError: this request fails, whatever is done.
        """
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": 0}
        body |= {"max_tokens": most_tokens, "stream": False}
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
        with_schema = self._takes_schema
        extra = {"response_format": wanted} if with_schema else {}
        status, reply = self._tried(lambda: self._request("POST", "/chat/completions", {**body, **extra}))
        if status in (400, 422) and with_schema:
            # Not every server knows the field; the instructions ask for JSON too.
            status, reply = self._tried(lambda: self._request("POST", "/chat/completions", body))
            self._takes_schema = self._takes_schema and status != 200
        if status in (401, 403, 404):
            raise self._refused(status, reply)
        if status != 200:
            raise AnswerError(f"{self.url} answered with status {status}{self._told(reply)}")
        choices = _list_of(reply, "choices")
        message = choices[0].get("message") if choices else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise AnswerError(f"{self.url} answered without a message")
        return content

    def stop(self) -> None:
        """Give up all requests at their next step."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def close(self) -> None:
        """Close all connections."""
        self._stop.set()
        self._client.close()

    def _tried(self, request: Callable[[], tuple[int, Any, float]], tries: int = MOST_TRIES) -> tuple[int, Any]:
        """Status and reply; after a busy, failing or silent endpoint once more, with growing pauses."""
        import httpx2

        pause, reason = self._first_pause, ""
        for left in range(tries - 1, -1, -1):
            wished = 0.0
            try:
                status, reply, wished = request()
                if status not in _TRY_AGAIN or left == 0:
                    return status, reply
            except httpx2.ConnectError as error:
                reason = f"nothing answers at {self.url} ({_short(error)})"
                failure: type[LLMToolkitError] = EndpointError
            except httpx2.TimeoutException:
                reason = f"{self.url} gave no answer within {self._timeout_seconds:g} seconds"
                failure = EndpointError if tries == 1 else AnswerError
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                reason = f"the connection to {self.url} broke ({_short(error)})"
                failure = EndpointError
            if left == 0:
                break
            if self._stop.wait(min(max(pause, wished), LONGEST_PAUSE_SECONDS)):
                raise AnswerError("stopped")
            pause *= 2
        raise failure(reason, hint=HOW_TO_START)

    def _request(self, method: str, path: str, body: object) -> tuple[int, Any, float]:
        """Status, reply (None where it is no JSON) and the pause that the endpoint asks for, in seconds."""
        import httpx2

        deadline = time.monotonic() + self._timeout_seconds
        with self._client.stream(method, self.url + path, json=body) as response:
            data = bytearray()
            for part in response.iter_bytes():
                data += part
                if self._stop.is_set():
                    raise AnswerError("stopped")
                if len(data) > MOST_BYTES:
                    raise AnswerError(f"{self.url} answered with more than {MOST_BYTES // 2**20} MB")
                if time.monotonic() > deadline:  # a reply that drips in never meets the timeout of one read
                    raise httpx2.ReadTimeout("deadline")
        wished = response.headers.get("retry-after", "")
        return response.status_code, _json(bytes(data)), float(wished) if wished.isdecimal() else 0.0

    def _refused(self, status: int, reply: object) -> EndpointError:
        hints = {404: "check --llm-url (it usually ends in /v1) and --llm-model"}
        return EndpointError(
            f"{self.url} refuses with status {status}{self._told(reply)}",
            hint=hints.get(status, f"set the environment variable {API_KEY_VARIABLE}"),
        )

    def _told(self, reply: object) -> str:
        """What the endpoint says about a failure, in one short line without the key."""
        error = reply.get("error") if isinstance(reply, dict) else None
        text = error.get("message") if isinstance(error, dict) else error
        if not isinstance(text, str):
            return ""
        if self._key:
            text = text.replace(self._key, "***")
        return ": " + " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())[:200]


def _json(data: bytes) -> Any:
    import json

    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _list_of(reply: object, key: str) -> list[dict[str, Any]]:
    entries = reply.get(key) if isinstance(reply, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__

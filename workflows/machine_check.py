"""What this machine can train, and what to do about each gap."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from shared_utils.errors import install_command

# Older ones have known holes: unsafe loading, code in model configurations, unsafe font tables.
VERSION_FLOORS = {"torch": (2, 6), "transformers": (5, 3), "pdfminer.six": (20251230,)}
CORE = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
    "pdfplumber",
    "PyPDF2",
    "pydantic",
)
PACKAGES = {
    "wandb": "recording runs with Weights & Biases",
    "pypdf": "a maintained fallback for damaged PDFs",
}
# Packages of our own extras: the extra that brings each, and what for.
EXTRAS = {
    "pytesseract": ("ocr", "reading scans, with the program tesseract"),
    "datasketch": ("dedupe", "leaving out near duplicates"),
    "phonenumbers": ("redact", "replacing private data"),
    "ray": ("ray", "extraction on several machines"),
    "trl": ("grpo", "training language models by rewards"),
    "liger_kernel": ("cuda", "faster layers on NVIDIA GPUs"),
    "deepspeed": ("deepspeed", "optimizer and weights divided over GPUs, or moved to the memory of the machine"),
}
DOCUMENT_MODULES = ("lxml", "docx", "pptx", "openpyxl", "striprtf", "trafilatura")
HUB_HOST, HUB_PORT, HUB_TIMEOUT_SECONDS = "huggingface.co", 443, 2.0
LOW_MEMORY_GB, LOW_DISK_GB = 4.0, 5.0


@dataclass(frozen=True)
class Finding:
    """One fact about the machine, and what to do when it is a gap."""

    subject: str
    status: Literal["ok", "gap", "info"]
    text: str
    advice: str = ""


def check_machine(output_dir: Path) -> list[Finding]:
    """Processor, memory, disk, device, versions, optional packages, and the hub."""
    return [*_hardware(output_dir), _device(), _distributed(), *_versions(), *_extras(), _hub()]


def largest_trainable(memory_bytes: int) -> str:
    """How large a model LoRA can train in this much memory, by parameters.

    Float32 weights take 4 bytes a parameter, activations and adapters roughly as much again at
    batch 1 and 512 tokens; a quarter of the memory is left to the system.
    """
    parameters = memory_bytes * 0.75 / 8
    return f"{parameters / 1e9:.1f} billion parameters"


def _hardware(output_dir: Path) -> list[Finding]:
    memory = psutil.virtual_memory()
    folder = next(path for path in (output_dir.absolute(), *output_dir.absolute().parents) if path.exists())
    disk = shutil.disk_usage(folder)
    memory_gb, disk_gb = memory.available / 1e9, disk.free / 1e9
    return [
        Finding("processor", "info", f"{os.cpu_count()} cores"),
        Finding(
            "memory",
            "ok" if memory_gb >= LOW_MEMORY_GB else "gap",
            f"{memory_gb:.1f} GB free of {memory.total / 1e9:.1f}; LoRA in float32 fits models up to about "
            f"{largest_trainable(memory.available)}",
            "" if memory_gb >= LOW_MEMORY_GB else "close other programs, or stay with small models",
        ),
        Finding(
            "disk",
            "ok" if disk_gb >= LOW_DISK_GB else "gap",
            f"{disk_gb:.1f} GB free at {folder}",
            "" if disk_gb >= LOW_DISK_GB else "make room, or choose another --output-dir",
        ),
    ]


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("device", "gap", f"torch cannot be loaded: {error}", "pip install -r requirements.txt")
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Finding("device", "ok", f"CUDA: {properties.name}, {properties.total_memory / 1e9:.0f} GB")
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "Apple GPU (mps)")
    return Finding("device", "info", "no GPU; training runs on the processor")


def _distributed() -> Finding:
    """What several processes on one run could talk by."""
    try:
        import torch.distributed as distributed
    except ImportError:
        return Finding("several devices", "info", "torch cannot be loaded")
    if not distributed.is_available():
        return Finding("several devices", "info", "this build of torch cannot train with several processes")
    checks = {"gloo": distributed.is_gloo_available(), "nccl": distributed.is_nccl_available()}
    backends = ", ".join(name for name, is_there in checks.items() if is_there) or "none"
    return Finding("several devices", "info", f"backends: {backends}; settings for accelerate in configs/accelerate")


def _versions() -> list[Finding]:
    findings = []
    for package in (*CORE, "pdfminer.six"):
        try:
            installed = version(package)
        except PackageNotFoundError:
            findings.append(Finding(package, "gap", "not installed", "pip install -r requirements.txt"))
            continue
        floor = VERSION_FLOORS.get(package)
        if floor and _as_numbers(installed) < floor:
            advice = f"pip install -r requirements.txt (at least {'.'.join(map(str, floor))}: older ones are unsafe)"
            findings.append(Finding(package, "gap", installed, advice))
        else:
            findings.append(Finding(package, "ok", installed))
    return findings


def _extras() -> list[Finding]:
    return [_documents_extra(), *_single_extras()]


def _documents_extra() -> Finding:
    """The libraries that read documents beyond PDF, Markdown and text."""
    purpose = "Word, PowerPoint, Excel, OpenDocument, RTF, EPUB and HTML files"
    missing = [name for name in DOCUMENT_MODULES if not find_spec(name)]
    if not missing:
        return Finding("documents", "ok", f"installed: {purpose}")
    text = f"not installed: {', '.join(missing)} (optional: {purpose})"
    return Finding("documents", "info", text, install_command("documents"))


def _single_extras() -> list[Finding]:
    advised = {name: (purpose, f"pip install {name}") for name, purpose in PACKAGES.items()}
    advised |= {name: (purpose, install_command(extra)) for name, (extra, purpose) in EXTRAS.items()}
    return [
        Finding(name, "ok", f"installed: {purpose}")
        if find_spec(name)
        else Finding(name, "info", f"not installed (optional: {purpose})", advice)
        for name, (purpose, advice) in advised.items()
    ]


def _hub() -> Finding:
    try:
        with socket.create_connection((HUB_HOST, HUB_PORT), HUB_TIMEOUT_SECONDS):
            return Finding("model hub", "ok", f"{HUB_HOST} can be reached")
    except OSError:
        advice = "use model folders on this machine, or the built-in starter"
        return Finding("model hub", "info", f"{HUB_HOST} cannot be reached", advice)


def _as_numbers(text: str) -> tuple[int, ...]:
    digits = ("".join(ch for ch in part if ch.isdigit()) for part in text.split("+")[0].split("."))
    return tuple(int(part) for part in digits if part)

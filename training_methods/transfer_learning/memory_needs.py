"""Whether a model fits before it is loaded: the memory of its weights, gradients and optimizer, by way of training.

Activations come on top, so what is refused here would certainly not have fitted.
"""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import torch

from shared_utils.errors import TrainingError
from shared_utils.model_files import read_safetensors_header
from shared_utils.model_names import locate_base
from training_methods.transfer_learning.settings import DPOSettings, FullSettings, LoRASettings, MethodSettings

# Limit and use of memory, of both versions of control groups.
CONTAINER_FILES = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
# Bytes a parameter: float32 weights; for all of them gradients and the two moments of AdamW as well;
# or 4 (8) bits for the matrices of the layers with their scales. Embeddings stay in float32.
FLOAT32, FULL, FOUR_BIT, EIGHT_BIT = 4.0, 16.0, 0.53, 1.02


def refuse_too_large(settings: MethodSettings, device: torch.device, free_bytes: int | None = None) -> None:
    """Refuse a model that cannot fit, and name what would.

    Args:
        settings: the section of the method.
        device: where the model would be trained.
        free_bytes: memory to fit into; None asks the device.

    Raises:
        TrainingError: the weights with what training adds to them need more than there is.
    """
    location = locate_base(settings.model_name)
    if not location.is_local:
        return  # its size is known only once it was fetched
    outside, inside = count_parameters(Path(location.source))
    free = free_memory(device) if free_bytes is None else free_bytes
    needs = {
        "train-full": FULL * (outside + inside),
        "train-lora": FLOAT32 * (outside + inside),
        "train-qlora": FLOAT32 * outside + FOUR_BIT * inside,
    }
    name = "train-full" if isinstance(settings, FullSettings) else "train-qlora"
    if isinstance(settings, LoRASettings):
        name = "train-lora"
    if isinstance(settings, DPOSettings):
        needs = {"train-dpo": needs["train-lora"], "train-dpo --load-in-4bit": needs["train-qlora"]}
        name = "train-dpo --load-in-4bit" if settings.load_in_4bit else "train-dpo"
    need = needs[name]
    if name == "train-qlora" and not settings.quantization.load_in_4bit:  # type: ignore[union-attr]
        need = FLOAT32 * outside + EIGHT_BIT * inside
    if need <= free:
        return
    fitting = [f"{other} (about {_gigabytes(size)})" for other, size in needs.items() if size <= free and other != name]
    raise TrainingError(
        f"{settings.model_name} does not fit: {name} needs at least {_gigabytes(need)} for its "
        f"{(outside + inside) / 1e9:.2f} billion parameters, {_gigabytes(free)} are free",
        hint=f"what would fit: {', '.join(fitting)}" if fitting else "use a smaller model or a larger machine",
    )


def count_parameters(folder: Path) -> tuple[int, int]:
    """Parameters outside of the layers (embeddings, head, norms) and in the matrices of the layers.

    Read from the headers of the safetensors files; the weights themselves are not touched.
    """
    outside = inside = 0
    for path in sorted(folder.glob("model*.safetensors")):
        for name, entry in read_safetensors_header(path).items():
            shape = entry["shape"]
            number = math.prod(shape)
            if len(shape) == 2 and any(part.isdigit() for part in name.split(".")):
                inside += number
            else:
                outside += number
    return outside, inside


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; for the processor the limit of its container counts, too."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    for limit, used in CONTAINER_FILES:
        try:
            room = int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii"))
            free = min(free, room + _reclaimable())
        except (OSError, ValueError):
            continue  # not in a container of this kind, or without a limit
    return max(free, 0)


def _reclaimable() -> int:
    """Bytes of the container that hold file contents only, which the system gives up when they are needed."""
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration):
        return 0


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 5e7 else f"{number / 1e6:,.1f} MB"

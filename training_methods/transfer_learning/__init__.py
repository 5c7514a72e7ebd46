"""Fine-tuning of language models."""

import logging
import os

# bitsandbytes comes in with transformers' Trainer. At warning level it advises a package that fetches compiled
# code, and tells each cast of an 8-bit product; set here, because here nothing has imported it yet.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

# Tensors in huge pages, where the system offers them: a step asks for hundreds of large ones, and the system hands
# out small pages one by one. PyTorch looks at this once, with its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

"""Fine-tuning of language models."""

import logging

# bitsandbytes comes in with transformers' Trainer. At warning level it advises a package that fetches compiled
# code, and tells each cast of an 8-bit product; set here, because here nothing has imported it yet.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

"""Documents become chunks and instruction pairs."""

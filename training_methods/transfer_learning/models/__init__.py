"""The ways of fine-tuning, one file each."""

"""GRPO of language models: rewards, TRL's trainer in our run folder, its curves and card."""

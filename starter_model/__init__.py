"""The built-in starter model: a tiny language model to try every command without a network."""

"""The training step: records laid end to end, loss only where there is one, lean layers."""

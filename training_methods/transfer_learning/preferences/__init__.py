"""Learning from pairs of answers, of which one was preferred."""

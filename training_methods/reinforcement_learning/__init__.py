"""Reinforcement learning: agents, the environments they act in, and the loop that trains them."""

"""PPO and DQN: each agent knows arrays and no environment."""

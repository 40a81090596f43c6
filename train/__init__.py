"""Training: the sandbox world and its model, rollouts, preference training, rounds."""

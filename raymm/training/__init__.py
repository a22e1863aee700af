"""The training loop, the engines that carry a step, and their common checkpoint format."""

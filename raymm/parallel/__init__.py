"""The grid of ranks, and the differentiable collectives that keep any number of ranks at the same mathematics."""

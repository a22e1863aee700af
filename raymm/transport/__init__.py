"""Optimal transport between two sets of points: solvers, their certificates, and user matching on top of them."""

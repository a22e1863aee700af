"""Baselines that predict ratings in a domain where a user is new."""

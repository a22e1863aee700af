"""Layers and losses that models are put together from."""

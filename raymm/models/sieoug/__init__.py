"""SIEOUG: similarity graphs of items, and users of two domains matched by optimal transport."""

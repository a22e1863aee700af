"""GUME: user-item graphs enhanced by items that are alike, and user modalities of their own."""

"""Multi-modal and cross-domain recommendation models, trained on Ray."""

__version__ = "0.1.0"

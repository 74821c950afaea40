"""eagent: a per-host energy agent for GPU clusters."""

__version__ = "0.1.0"

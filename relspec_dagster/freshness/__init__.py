"""Data versions, stale assets, carrying forward, and automation."""

"""The process and its files: caches, signals, timeouts, garbage collection."""

"""Compilation of tasks into plans."""

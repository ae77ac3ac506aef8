"""Executing tasks as multi-assets."""

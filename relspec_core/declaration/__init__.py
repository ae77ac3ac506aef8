"""Declarations by users: tasks, sources and SQL files."""

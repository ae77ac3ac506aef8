"""Finding and loading a project's catalog."""

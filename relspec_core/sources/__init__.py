"""Sources in files: which files there are, their schemas and versions."""

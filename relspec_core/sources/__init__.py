"""Sources in files: listing, schemas and versions."""

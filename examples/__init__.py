"""Example pipelines, run from a checkout."""

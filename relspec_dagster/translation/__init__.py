"""From tasks and sources to Dagster's assets, checks and metadata."""

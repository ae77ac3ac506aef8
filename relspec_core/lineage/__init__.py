"""Column lineage of queries."""

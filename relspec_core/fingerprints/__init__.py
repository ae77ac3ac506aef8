"""Stable hashes of what a query, a column or a function computes."""

"""Fingerprints: stable hashes of queries, columns and functions."""

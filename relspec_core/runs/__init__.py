"""Executing a plan: workers, publications, the run log and its reports."""

"""Answers to questions about a catalog before anything runs."""

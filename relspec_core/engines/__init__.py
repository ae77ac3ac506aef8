"""Connections to engines, and the tables that they report."""

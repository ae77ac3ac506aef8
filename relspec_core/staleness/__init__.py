"""The observed state of sources and tables, and which tasks are stale."""

"""The evidence sensor: runs when evidence arrives."""

"""Access to the warehouse, its catalog and its plans from Dagster processes."""

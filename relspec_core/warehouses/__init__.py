"""Where tables are written and read, one implementation per kind of engine."""

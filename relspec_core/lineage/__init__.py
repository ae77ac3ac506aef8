"""Which columns each column of a query is computed from."""

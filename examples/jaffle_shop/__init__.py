"""The Jaffle Shop: seven raw CSV files, seventeen tasks, and not one declared dependency."""

"""What users declare: tasks, sources and SQL files."""

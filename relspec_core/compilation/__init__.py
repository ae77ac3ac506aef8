"""From a task to a compiled plan."""

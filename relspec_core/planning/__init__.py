"""What a run would do now, in which order, and how long it would take."""

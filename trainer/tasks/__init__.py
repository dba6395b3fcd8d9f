"""What each task is, and how each kind of task works."""

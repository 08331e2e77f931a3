"""`kiln build`, as people and programs see it."""

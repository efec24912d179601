"""A Ray cluster as a place where jobs run."""

"""Searches in a simulated world: clock, disk, stores, workers and faults follow from one number."""

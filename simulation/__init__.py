"""Searches in a simulated world: its clock, disk, stores, workers and faults are made up."""

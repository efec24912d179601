"""How fast the pipeline is, measured. `make bench` runs all of it; RESULTS.md has the numbers."""

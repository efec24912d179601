"""How fast the pipeline is, measured. `make bench` runs all of it; RESULTS.md has the numbers."""

from pipeline.environment import hide_gpus, set_defaults

set_defaults()  # as the commands do that are measured
hide_gpus()

"""MLflow, the mirror: runs, curves and models, delivered now or later, and read back."""

"""Holds Optuna, MLflow and the disk against each other, and mends what a crash left behind."""

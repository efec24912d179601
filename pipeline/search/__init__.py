"""The loop: one supervisor asks Optuna, runs jobs, tells Optuna and writes MLflow."""

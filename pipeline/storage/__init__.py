"""Optuna, the truth about trials: its storage, what a trial holds, the queue, the lease."""

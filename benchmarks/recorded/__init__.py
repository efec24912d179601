"""Recorded learning curves, and the model that draws those of networks that were not recorded."""

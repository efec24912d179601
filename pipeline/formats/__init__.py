"""A model in the formats of several runtimes, each kept if it answers as `model.keras` does."""

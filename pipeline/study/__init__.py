"""The question, as pure values: hyperparameters, search space, study file, and what a trial is."""

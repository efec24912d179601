"""The champion as files: model, hyperparameters, metrics and model card."""

"""A study of a few one-layer networks, for tests that play curves instead of training."""

NAME, N_TRIALS = "small", 3
STUDY = f"""
goal = "Get through."
dataset = "fashion_mnist"

[budget]
trials = {N_TRIALS}

[sampler]
type = "RandomSampler"
seed = 1

[pruner]
type = "NopPruner"

[fixed]
hidden_layers = 1
units = 50
optimizer = "adam"
batch_size = 32
epochs = 3

[space]
learning_rate = {{ type = "float", low = 1e-4, high = 1e-2, log = true }}
"""

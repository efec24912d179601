"""From a file to the arrays that networks are trained on: split, fitted, encoded, kept."""

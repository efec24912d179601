"""Where jobs run: worker processes on this machine, forked from one that has TensorFlow."""

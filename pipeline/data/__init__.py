"""Data sets by name or path, loaded, shown, and with the test set sealed."""

"""What is learned, from which data, and how answers are scored: values that all share."""

"""What is learned: data sets by name, fetched, verified and split, with the test set sealed."""

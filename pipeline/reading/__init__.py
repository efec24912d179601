"""What stands in a file, as columns or arrays: CSV, Parquet, NumPy's archives, pictures."""

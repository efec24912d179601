"""The first study file for data of one's own: looks at the data, and writes what fits them."""

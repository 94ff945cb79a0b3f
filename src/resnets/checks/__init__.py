"""What is wrong with a dataset, by path, before it costs a run: a file for each family of checks."""

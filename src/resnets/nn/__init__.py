"""The parts that residual networks are made of, for 1, 2 and 3 dimensions. This floor knows torch only."""

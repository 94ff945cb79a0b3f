"""The parts of residual networks, for 1, 2 and 3 dimensions. This package imports torch only."""

"""Functions that return a Recipe; each docstring gives source, cost, expected result and the command."""

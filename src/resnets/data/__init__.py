"""Scans of datasets, and training batches. This package and `models` never import each other."""

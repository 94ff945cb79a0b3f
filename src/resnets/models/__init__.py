"""Whole networks: `Spec` (what a network is), `CATALOG` (the known ones), `ResNet` (a spec, built)."""

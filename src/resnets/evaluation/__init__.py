"""How good a model is, exactly, and a page that a person can act on."""

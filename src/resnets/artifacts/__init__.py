"""Models outside a run: the model file, weights of other libraries, and a model that predicts."""

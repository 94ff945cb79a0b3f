"""Trained models as files: the model file, a model that predicts, weights of other libraries, and runtimes."""

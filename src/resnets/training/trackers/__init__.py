"""Experiment trackers: TensorBoard, MLflow and Weights & Biases, a module each and one table of them (`catalog`)."""

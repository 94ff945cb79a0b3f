"""Evaluation: predictors, test-time augmentation and exact scores."""

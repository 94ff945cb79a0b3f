"""What is to be learnt, and how it is judged. Joins models and data."""

"""The paper's experiments and what came after, each in one command."""

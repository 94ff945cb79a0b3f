"""The version of the library, as model files and `resnets --version` give it."""

__version__ = "0.3.0"

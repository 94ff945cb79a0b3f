"""Functions that return a Recipe; each docstring gives source, cost, expected result and the command.

`resnets.training.recipe.Recipe` explains every setting, and has the default of each that a recipe does not give.
`resnets recipes` prints these docstrings; `resnets train NAME SETTING=VALUE` changes a setting.
"""

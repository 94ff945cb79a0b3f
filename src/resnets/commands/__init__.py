"""The commands of `resnets`, a module each.

Each module holds the command's public function, whose signature is the command's flags, and `COMMAND`, which says how
the result is shown. The command line imports only the module that it needs; nothing here imports torch before a
function is called.
"""

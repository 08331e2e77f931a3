"""What a build warns about: values in files that belong into settings, and settings that do not fit the code.

Nothing here fails a build, runs code of the repository or reaches a network. Values are never repeated in a warning.
"""

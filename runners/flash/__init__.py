"""Flash images: the files of a board and its base firmware become one file that a flasher writes. Deterministic."""

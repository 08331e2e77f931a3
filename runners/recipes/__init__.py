"""How each family is built: one module for each folder of ``build-images/``."""

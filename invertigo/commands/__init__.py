"""The commands: a module each, or each family; `cli.py` knows their names and imports the one that runs."""

"""Where editing directions come from."""

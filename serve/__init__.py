"""The surfaces: the command line, and what it shows."""

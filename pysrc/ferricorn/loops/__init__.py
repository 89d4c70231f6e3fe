"""Event loops: a factory for each name of `--loop`, and what runs the server on one."""

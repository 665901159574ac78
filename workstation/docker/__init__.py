"""Docker: whose packages it is of, how its Engine is started and configured, what it lets in."""

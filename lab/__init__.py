"""A throwaway virtual workstation: the machine that tests and newcomers deploy to."""

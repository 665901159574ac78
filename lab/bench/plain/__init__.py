"""Plain pyinfra, run with this folder as its working directory, without our changes to it."""

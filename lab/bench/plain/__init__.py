"""Plain pyinfra, run with this folder as its working directory: no changes of ours are loaded."""

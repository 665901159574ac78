"""systemd units as defined in their files, and the unit of the native Ollama."""

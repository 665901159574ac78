"""systemd units as their files say them, and the unit of the native Ollama."""

"""What a run tells: its page with the picture of the machine and the criteria, and its receipt."""

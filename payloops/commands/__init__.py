"""What is asked: commands with their pure decide functions, and the handler that loads, decides and appends."""

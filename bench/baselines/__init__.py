"""What the rows are compared with: programs that anyone can run."""

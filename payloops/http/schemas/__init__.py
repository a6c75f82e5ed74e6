"""What bodies may hold, one module a noun. Nothing behind the edge knows these classes."""

"""What is to be served, and how: flags, files, and what replaces them while the server runs."""

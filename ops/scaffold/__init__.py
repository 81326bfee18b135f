"""A new driver to begin with: files that work at once, and what is left to do by hand."""

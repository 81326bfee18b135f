"""What the service is compared with. Run by the Python of an environment of its own."""

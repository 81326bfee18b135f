"""Business flows: what an event means for the other systems. One flow a file; pure."""

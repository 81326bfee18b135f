"""The demo: one released engineering change on its way, with real servers and processes."""

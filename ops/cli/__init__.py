"""The `layshaft` command: one module a group of commands, `tree` puts them together."""

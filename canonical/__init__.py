"""The shared language: entities, value types, events, effects and failures; pure, no I/O."""

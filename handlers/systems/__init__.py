"""Drivers, one folder a system: vendor words stay inside, canonical words come out."""

"""CSV and JSON of anybody, mapped by a table that an integrator keeps."""

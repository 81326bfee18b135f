"""Everything that tests Layshaft, and the value strategies the tests share."""

"""A Coupa-like procurement suite over its REST interface."""

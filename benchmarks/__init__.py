"""How fast Layshaft is, against what, in one run. `./bench --help` tells how it is asked.

Rungs are measured in turn, A B C A B C ..., on the same two servers with durability on; what counts
are the ratios of neighbouring passes. Nothing here is a test: no result is right or wrong.
"""

"""Moving messages safely: intake, decision, commit, settle, relay.

Knows no vendor and no part number.
"""

"""Stand-in target systems: strict local servers that answer as the vendors' systems do.

An ERP (S/4HANA OData V2) and a procurement suite (Coupa-like REST), each a process of its own with
a journal on disk and a business table that anyone can count. They know nothing of the broker, so
what their tables hold is evidence.

`tryton/` is no stand-in: it installs and runs the vendor's own system.
"""

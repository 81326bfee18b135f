"""A real Tryton for trying things out: installed from its packages, with a database and a company.

It is no stand-in and no code of ours: it runs as a process of its own, out of a virtual environment
of its own, and is spoken to over HTTP.
"""

from __future__ import annotations

from ops.sandbox.tryton.server import Running, Sandbox

__all__ = ["Running", "Sandbox"]

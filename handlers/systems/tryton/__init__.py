"""Tryton: an ERP that is spoken to by JSON-RPC."""

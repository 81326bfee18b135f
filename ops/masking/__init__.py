"""Messages without what is nobody else's business: names, addresses, accounts, prices."""

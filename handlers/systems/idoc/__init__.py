"""SAP IDocs as XML: material masters, orders and their confirmations."""

"""Arena PLM: engineering changes and items as its REST interface states them."""

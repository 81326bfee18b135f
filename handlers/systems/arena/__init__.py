"""Arena PLM: engineering changes as its REST interface states them."""

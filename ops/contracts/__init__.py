"""What other teams are promised: contracts as files, generated from the code that keeps them."""

"""Lines of a log into columns: one pass over bytes for each thing that is asked of them."""

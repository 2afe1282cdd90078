"""Tables that are looked up, for torch."""

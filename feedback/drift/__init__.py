"""Whether what a model meets is still what it was trained on, and what to do when it is not."""

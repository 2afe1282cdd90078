"""What the server counts and remembers for its model, and the log of what the model was shown."""

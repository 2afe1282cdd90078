"""What another policy would have earned, estimated from logged choices and their probabilities."""

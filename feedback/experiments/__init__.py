"""Whether one arm of an experiment does better than another, and by how much."""

"""From logged features and events to labelled impressions that a model may learn from."""

"""What running counts add to the click models' scores."""

"""The closed loop, unattended: simulated days, and a better model after each of them."""

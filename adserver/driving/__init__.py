"""Plays simulated markets against the server: in process on simulated time, or over HTTP."""

"""Drift of the model in production: looked at from time to time, kept in files, told to others."""

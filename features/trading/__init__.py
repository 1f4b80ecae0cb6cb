"""Simulated trading: rules say which position to hold, an account fills it and pays for it."""

"""Promotion: what a challenger has shown, and whether it is enough."""

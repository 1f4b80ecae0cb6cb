"""Sweeps: a search over features, sampling, models and trading rules, scored walk-forward."""

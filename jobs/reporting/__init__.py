"""Reports of backtests and of the live ledger: one HTML file that needs nothing else."""

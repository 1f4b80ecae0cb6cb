"""What `jobs.backtest` is made of: the chain of one symbol, its checkpoints, and the results it leaves."""

"""Where ticks and what became of them are kept: the tick log on local disk, and the lake behind it."""

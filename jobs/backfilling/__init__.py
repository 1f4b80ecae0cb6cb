"""How files of market data become history in the lake: recognised, read, checked, stored once.

Reading order: `spec` (what is asked for), `forms` (what a file is), `source` (its rows), `rows` (typed and
checked one by one), `spool` (sorted out by symbol and period on local disk), `checks` (what only
neighbours tell), `parts` (one period of a symbol into the lake), `run` (all of it, over several processes).
"""

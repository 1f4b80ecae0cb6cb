"""Compiled kernels: the only code that touches every tick and every bar.

Each is one numba function over flat state arrays, cached on disk. Rules that make a stream give
the same bits however it is cut into batches: no fast math, no state outside the state arrays, the
same operations in the same order for one row as for a million.
"""

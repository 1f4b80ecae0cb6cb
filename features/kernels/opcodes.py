"""Numbers of the feature ops. `features.catalogue` names them, `features.kernels.run` branches on them.

Also the layout that the two share: the program that the catalogue writes and the kernel reads.
"""

from __future__ import annotations

KERNEL_VERSION = 1
"""Raise it when an op computes something else than before: old models and snapshots then don't fit."""

# Changes of price.
RETURN, LOG_RETURN, ROC, MOMENTUM = range(4)
# Rolling windows of price.
SMA, SMA_GAP, ROLLING_MEAN, ROLLING_STD, ROLLING_MIN, ROLLING_MAX = range(4, 10)
ZSCORE, BOLLINGER, STOCHASTIC = range(10, 13)
# Recursive averages.
EMA, EMA_GAP, MACD, RSI, ATR, NATR, EW_VOLATILITY = range(13, 20)
# Rolling windows of returns and ranges.
REALISED_VOL, PARKINSON, GARMAN_KLASS, REALISED_SKEW, AUTOCORRELATION, TREND = range(20, 26)
# Traded volume and its direction.
OBV, OBV_SLOPE, VWAP, VWAP_GAP, VOLUME_INTENSITY, TRADE_INTENSITY = range(26, 32)
FLOW_IMBALANCE, SIGNED_TRADES, SIGNED_VOLUME, BUY_RATIO, AMIHUD = range(32, 37)
# The book and the last trades.
SPREAD, MICROPRICE, QUOTE_IMBALANCE, IMPLIED_MID_GAP, LAST_SIDE = range(37, 42)
# The calendar.
TIME_OF_DAY, DAY_OF_WEEK = range(42, 44)
N_OPS = 44

# The program: [number of ops, number of checked rows, the rows ..., one record for each op ...].
HEAD = 2
(
    R_OPCODE,
    R_STATE,  # where its state starts
    R_SIZE,  # how long its state is
    R_COLUMN,  # its first output column
    R_FIRST,  # its arguments, up to three
    R_SECOND,
    R_THIRD,
) = range(7)
RECORD = 7

# The state: these, then the state of each op.
SESSION, AGE = 0, 1
STATE_HEAD = 2

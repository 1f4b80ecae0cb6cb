"""History as the jobs read it: bars, ticks or the recorded stream of a lake, in order and bounded memory."""

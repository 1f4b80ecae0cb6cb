"""Learners, the mixture that makes one forecast of theirs, and the intervals around it."""

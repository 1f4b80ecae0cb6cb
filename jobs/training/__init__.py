"""Training of challengers: data sets, boosting libraries, conversion, evaluation."""

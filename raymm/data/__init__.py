"""Files to training data: pure functions on tables and arrays, and the prepared set that they end in."""

"""How good a scorer is: by ranking and by rating, on slices, and against another one."""

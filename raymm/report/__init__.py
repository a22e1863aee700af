"""What came of a run: a page to read, the same as JSON, and a table for the end of a command."""

"""What the command line does, as functions: each reads folders and writes one new folder."""

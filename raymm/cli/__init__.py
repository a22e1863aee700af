"""The command line: verbs that read folders and write one new folder."""

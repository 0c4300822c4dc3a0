"""The verbs as functions: typed, for notebooks and for the command line, which only reads options and prints."""

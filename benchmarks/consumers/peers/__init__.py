"""The job as users of other stream processors would write it; each file is run by an environment of its own."""

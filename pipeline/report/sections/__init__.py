"""The sections of a study's report, each a function from a summary to blocks."""

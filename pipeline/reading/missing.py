"""How people write that a value is missing."""

# Compared as they stand, case and all. A model that is handed over knows them too.
MISSING_TEXTS = (
    "", "NA", "N/A", "na", "n/a", "NaN", "nan", "NAN", "-nan", "-NaN", "NaT", "null", "NULL",
    "Null", "None", "?", "-", "--", ".", "#N/A", "#N/A N/A", "#NA", "<NA>",
)  # fmt: skip

"""How people write that a value is missing."""

# Compared as they stand, case and all. A model that is handed over knows them too.
MISSING_TEXTS = (
    "", "nan", "NaN", "NAN", "-nan", "-NaN", "None", "none", "null", "NULL", "Null",
    "NA", "na", "<NA>", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "N.A.", "n.a.", "NaT",
    "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!", "\\N", "?", "-", "--", ".",
    "#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#DIV/0 !", "#VALEUR!", "#NOMBRE!", "#NOM?",
)  # fmt: skip

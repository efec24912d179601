"""How far to trust a result: intervals and verdicts, as pure functions of trials."""

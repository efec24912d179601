"""One job in one process: a network is built and trained; neither store is known here."""

"""The study report: what was asked, what came out, and how far it can be trusted."""

"""Answers dressed: tables, plots, pages. Sees Bills, records and plain rows; never a wing."""

"""What is answered: frozen answers that show themselves, and how they are read off a formula or a trace."""

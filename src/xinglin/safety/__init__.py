"""Safety: what must not leave the house (privacy), and later what must not be said."""

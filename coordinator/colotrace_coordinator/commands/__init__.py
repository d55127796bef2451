"""Commands that use only the database: credentials and known colos."""

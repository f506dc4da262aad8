"""What only a card can tell; without one, each test is skipped and says so."""

"""How much is enough: what engines cost, what a load makes of them, and what to buy for it."""

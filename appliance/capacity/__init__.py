"""What a pool of engines can carry: profiles of what was measured, a simulation on them, and advice on what to buy."""

"""What a pool of engines can carry: profiles of what was measured, and a simulation that works on them."""

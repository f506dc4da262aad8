"""The learned router: a small linear head that chooses a way to answer, and the gate that it has to pass."""

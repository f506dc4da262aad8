"""What loads showed: one self-contained page, and its curves."""

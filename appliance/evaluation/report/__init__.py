"""What a run showed: one self-contained page, and plots that are drawn here."""

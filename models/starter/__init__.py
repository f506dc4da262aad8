"""Five tiny models trained from scratch by the code in this folder, and that code."""

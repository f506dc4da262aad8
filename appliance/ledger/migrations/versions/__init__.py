"""One file for each step of the layout, in the order of their numbers. What was released is never edited."""

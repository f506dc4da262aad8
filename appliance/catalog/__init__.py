"""The catalog: which models there are, what they are like, and whether their files are the approved ones."""

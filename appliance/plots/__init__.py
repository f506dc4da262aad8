"""Pictures of figures as SVG text, and the style of the pages that show them. Nothing is loaded from anywhere."""

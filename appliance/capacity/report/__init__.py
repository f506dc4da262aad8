"""An advice as one self-contained page, and the plots that only it has."""

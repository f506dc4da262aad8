"""The words of the house as types: frozen values without behaviour of the outside world."""

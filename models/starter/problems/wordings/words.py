"""Names and things that the stories are about."""

PEOPLE = (
    ("Mia", "she"), ("Ben", "he"), ("Ann", "she"), ("Tom", "he"), ("Eva", "she"), ("Max", "he"), ("Lea", "she"),
    ("Sam", "he"), ("Ida", "she"), ("Leo", "he"), ("Zoe", "she"), ("Jan", "he"), ("Kim", "she"), ("Paul", "he"),
)  # fmt: skip
THINGS = (
    "pen", "book", "card", "coin", "stamp", "apple", "shell", "stone", "ball", "cup", "key", "seed", "nut", "egg",
)  # fmt: skip
CONTAINERS = ("box", "bag", "basket", "jar", "shelf", "tray")
PLURALS = {"box": "boxes", "shelf": "shelves"}
PLACES = ("shop", "farm", "school", "club", "library", "market", "bakery", "garden")


def plural(noun: str) -> str:
    """More than one of a thing."""
    return PLURALS.get(noun, noun + "s")

"""Wordings of price lists with orders, fees and change."""

from models.starter.problems.wordings import Group

PRICE: Group = (
    (
        "{Aitem} costs {n} coins.",
        "The price of {aitem} is {n} coins.",
        "{Aitem} is [sold|on sale] for {n} coins.",
        "You pay {n} coins for {aitem}.",
        "For {aitem} one pays {n} coins.",
        "At the [shop|market] {aitem} costs {n} coins.",
        "One {item} costs {n} coins.",
        "{Items} cost {n} coins each.",
        "Each {item} costs {n} coins.",
        "The {place} sells {items} for {n} coins each.",
        "{Items} are {n} coins each.",
        "{Aitem} has a price of {n} coins.",
    ),
    (
        "The price of one {item} is {n} coins.",
        "At the [shop|market] {items} are {n} coins each.",
        "You pay {n} coins for each {item}.",
        "Each {item} is sold for {n} coins.",
    ),
)
BUY: Group = (
    (
        "{N} buys {list}.",
        "{N} orders {list}.",
        "{N} wants {list}.",
        "{N} takes {list}.",
        "{N} needs {list}.",
        "{N} pays for {list}.",
        "{N} gets {list} for a friend.",
        "{N}'s order is {list}.",
        "{N} picks {list}.",
        "The order of {N} is {list}.",
        "{N} asks for {list}.",
    ),
    (
        "{N} asks for {list} for a friend.",
        "{N} also wants {list}.",
        "{N} picks up {list}.",
        "{N}'s friend orders {list}.",
    ),
)
FEE: Group = (
    (
        "Delivery costs {n} coins.",
        "There is a fee of {n} coins.",
        "The delivery fee is {n} coins.",
        "{N} also pays {n} coins for delivery.",
        "A bag for {n} coins comes on top.",
        "{n} coins for packing are added.",
        "{n} coins are added for the delivery.",
        "Packing costs {n} coins more.",
        "On top there is a fee of {n} coins.",
        "The shop adds {n} coins for packing.",
        "{N} gives a tip of {n} coins.",
    ),
    (
        "On top {N} pays {n} coins for packing.",
        "The delivery costs {n} coins more.",
        "A fee of {n} coins is added.",
        "There are {n} coins for delivery on top.",
    ),
)
REBATE: Group = (
    (
        "{N} has a voucher for {n} coins.",
        "A voucher takes {n} coins off.",
        "{n} coins are taken off the price.",
        "The shop takes {n} coins off.",
        "There is a discount of {n} coins.",
        "{N} gets a discount of {n} coins.",
        "{N} gets {n} coins back.",
        "The discount is {n} coins.",
        "{N} uses a voucher of {n} coins.",
        "A friend pays {n} coins of it.",
        "{n} coins are paid by a friend.",
    ),
    (
        "{N} uses a discount of {n} coins.",
        "{n} coins are taken off by a voucher.",
        "There is a voucher for {n} coins.",
        "The discount takes {n} coins off.",
    ),
)
ASK_TOTAL: Group = (
    (
        "How much does {N} pay?",
        "How many coins does {N} pay?",
        "What is the total?",
        "What does {N} pay [in all|in total|altogether]?",
        "How much is it [in all|in total|altogether]?",
        "What does it cost?",
        "[Tell me|Say|Find] how much {N} pays.",
        "Find the total price.",
        "What is the price of the order?",
        "How many coins is that?",
        "How much must {N} pay?",
    ),
    (
        "How many coins must {N} pay [in all|in total]?",
        "What is the total price of the order?",
        "Tell me how many coins that is.",
        "How much does it cost altogether?",
    ),
)
ASK_CHANGE: Group = (
    (
        "{N} pays with {n} coins. How much change does {p} get?",
        "How much change does {N} get from {n} coins?",
        "{N} had {n} coins. How many coins are left?",
        "How many of {p2} {n} coins are left?",
        "{N} gives {n} coins. How many coins come back?",
        "From {n} coins, how much is left?",
        "How many coins are left if {N} had {n} coins?",
        "{N} came with {n} coins. What is left?",
        "How much of {n} coins does {N} keep?",
        "With {n} coins in the bag, how many does {N} have after that?",
    ),
    (
        "{N} gives {n} coins. How much change comes back?",
        "{N} came with {n} coins. How many coins does {p} keep?",
        "How much is left if {N} pays with {n} coins?",
        "From {n} coins, how much change does {N} get?",
    ),
)

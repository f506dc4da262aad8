"""Wordings of several people whose amounts depend on each other, and of parts that are worked out apart."""

from models.starter.problems.wordings import Group

OPEN: Group = (
    (
        "{A} has {n} {items}.",
        "{A} [collects|owns|finds|buys|keeps] {n} {items}.",
        "There are {n} {items} in {A}'s [bag|box].",
        "{n} {items} belong to {A}.",
        "{A} [got|counts] {n} {items}.",
        "{A} starts with {n} {items}.",
        "{A} picked up {n} {items}.",
        "In the morning {A} has {n} {items}.",
        "{A} [made|won] {n} {items}.",
        "On the table {A} has {n} {items}.",
        "{A} holds {n} {items}.",
    ),
    (
        "{A} picked up {n} {items} in the morning.",
        "{A}'s [bag|box] holds {n} {items}.",
        "There are {n} {items} that belong to {A}.",
    ),
)
MORE: Group = (
    (
        "{B} has {n} more [{items} |]than {A}.",
        "{B} [collects|owns|finds|buys] {n} [{items} |]more than {A}.",
        "{B} has as many as {A} and {n} more.",
        "{B} has {n} more.",
        "{A} has {n} [{items} |]fewer than {B}.",
        "{B} beats {A} by {n}.",
        "{B} got {n} more [{items} |]than {A} [did|has].",
        "With {n} more than {A}, {B} is ahead.",
        "{B} is {n} ahead of {A}.",
        "{B}'s bag holds {n} more than {A}'s.",
        "The number of {items} of {B} is {n} larger than {A}'s.",
    ),
    (
        "{B} [holds|keeps] {n} more [{items} |]than {A}.",
        "{B} has as many {items} as {A}, and then {n} more.",
        "{B}'s number of {items} is {n} larger than {A}'s.",
        "{B} is ahead of {A} by {n}.",
    ),
)
FEWER: Group = (
    (
        "{B} has {n} fewer [{items} |]than {A}.",
        "{B} [collects|owns|finds|buys] {n} [{items} |]fewer than {A}.",
        "{B} has as many as {A} but {n} fewer.",
        "{B} has {n} fewer.",
        "{A} has {n} more [{items} |]than {B}.",
        "{B} is short of {A} by {n}.",
        "{B} got {n} fewer [{items} |]than {A} [did|has].",
        "With {n} fewer than {A}, {B} is behind.",
        "{B} is {n} behind {A}.",
        "{B}'s bag holds {n} fewer than {A}'s.",
        "The number of {items} of {B} is {n} smaller than {A}'s.",
    ),
    (
        "{B} [holds|keeps] {n} fewer [{items} |]than {A}.",
        "{B} has as many {items} as {A}, but {n} fewer.",
        "{B}'s number of {items} is {n} smaller than {A}'s.",
        "{B} is behind {A} by {n}.",
    ),
)
TIMES: Group = (
    (
        "{B} has {k} times as many [{items} |]as {A}.",
        "{B} [collects|owns|finds|buys] {k} times as many [{items} |]as {A}.",
        "{B} has {k} times the number of {A}.",
        "{B} has {k} times as many.",
        "{B} got {k} times as many [{items} |]as {A} [did|has].",
        "For each of {A}'s {items}, {B} has {k}.",
        "{B}'s bag holds {k} times as many as {A}'s.",
        "The number of {items} of {B} is {k} times as large as {A}'s.",
        "{A}'s number times {k} is what {B} has.",
        "{B} has as many as {k} people like {A}.",
    ),
    (
        "{B} [holds|keeps] {k} times as many [{items} |]as {A}.",
        "{B}'s number of {items} is {k} times as large as {A}'s.",
        "For each one that {A} has, {B} has {k}.",
        "{B} collects {k} times the number of {A}.",
    ),
)
PART: Group = (
    (
        "{B} has {A}'s number divided by {k}.",
        "{A} has {k} times as many [{items} |]as {B}.",
        "{B} has one for each {k} of {A}'s {items}.",
        "{A} [owns|collects|finds] {k} times as many [{items} |]as {B}.",
        "{B} has as many as {A} divided by {k}.",
        "The number of {A} is {k} times as large as {B}'s.",
        "{B} gets one for every {k} that {A} has.",
        "Divide {A}'s number by {k} to get {B}'s.",
        "{A} has {k} times the number of {B}.",
        "{A}'s bag holds {k} times as many as {B}'s.",
    ),
    (
        "{A} [holds|keeps] {k} times as many [{items} |]as {B}.",
        "{B}'s number is {A}'s number divided by {k}.",
        "For every {k} that {A} has, {B} has one.",
    ),
)
ASK_LAST: Group = (
    (
        "How many {items} does {B} have?",
        "How many does {B} have?",
        "What is {B}'s number of {items}?",
        "[Tell me|Say|Find] how many {items} {B} has.",
        "Find the number of {items} {B} has.",
        "How many {items} belong to {B}?",
        "What number does {B} have?",
        "Count {B}'s {items}.",
        "And {B}? How many are there?",
        "So how many {items} does {B} have?",
        "I want to know how many {items} {B} has.",
    ),
    (
        "So how many {items} belong to {B}?",
        "Tell me the number of {items} {B} has.",
        "I want to know {B}'s number of {items}.",
    ),
)
ASK_SUM: Group = (
    (
        "How many {items} do {AB} have together?",
        "How many do {AB} have [in all|in total|together]?",
        "What is the total of {AB}?",
        "How many {items} do {AB} have in total?",
        "Add up the {items} of {AB}.",
        "[Tell me|Say|Find] how many {items} {AB} have together.",
        "Together, how many {items} do {AB} have?",
        "Find the total for {AB}.",
        "What do {AB} have altogether?",
        "What is the sum for {AB}?",
        "How many {items} is that for {AB} together?",
    ),
    (
        "In total, how many {items} do {AB} have?",
        "Find the sum for {AB}.",
        "Tell me what {AB} have in all.",
        "Add up what {AB} have.",
    ),
)
ASK_DIFFERENCE: Group = (
    (
        "How many more {items} does {A} have than {B}?",
        "How many more does {A} have than {B}?",
        "What is the difference if {B}'s are taken from {A}'s?",
        "By how many is {A} ahead of {B}?",
        "How far is {A} ahead of {B}?",
        "[Tell me|Say|Find] how many more {items} {A} has than {B}.",
        "How many {items} more than {B} does {A} have?",
        "Take {B}'s number from {A}'s.",
        "What is {A}'s number minus {B}'s?",
        "By how many does {A} beat {B}?",
    ),
    (
        "Tell me by how many {A} is ahead of {B}.",
        "Find {A}'s number minus {B}'s.",
        "How many more than {B} does {A} have?",
    ),
)
GROUPS: Group = (
    (
        "{A} [has|owns|buys|gets] {x} {boxes} with {y} {items} each.",
        "{A} [has|owns] {x} {boxes} of {y} {items}.",
        "{A} fills {x} {boxes} with {y} {items} each.",
        "{A} collects {x} {items} a day for {y} days.",
        "{A} has {x} {boxes}, each with {y} {items}.",
        "Each of {A}'s {x} {boxes} holds {y} {items}.",
        "In {x} {boxes} {A} has {y} {items} each.",
        "{A} puts {x} {items} into each of {y} {boxes}.",
        "{A} makes {x} {items} an hour for {y} hours.",
        "{A} gets {x} {items} from each of {y} friends.",
    ),
    (
        "{A} gets {x} {items} a day for {y} days.",
        "{A} has {x} {boxes}. Each holds {y} {items}.",
        "{A} buys {x} {items} from each of {y} friends.",
        "Each of the {x} {boxes} of {A} holds {y} {items}.",
    ),
)
LEFT: Group = (
    (
        "{A} had {x} {items} and [gave away|lost|sold|used] {y}.",
        "{A} had {x} {items} but {y} [broke|were lost|were sold].",
        "Of {A}'s {x} {items}, {y} are gone.",
        "{A} started with {x} {items} and [lost|sold|used] {y} of them.",
        "{A} [lost|sold|used] {y} of {x} {items}.",
        "From {x} {items} {A} gave away {y}.",
        "{A} bought {x} {items}, and {y} of them were taken away.",
        "Out of {x} {items} {A} gave {y} to a friend.",
        "{A} had {x} {items}; {y} went missing.",
        "{A} owned {x} {items} until {y} were sold.",
    ),
    (
        "{A} bought {x} {items} but lost {y} of them.",
        "Out of {x} {items} {A} sold {y}.",
        "Of {A}'s {x} {items}, {y} were taken away.",
        "{A} started with {x} {items}, and {y} broke.",
    ),
)
SHARED: Group = (
    (
        "{A} got one share of {x} {items} that {y} people split evenly.",
        "{x} {items} were shared equally by {y} people, one of them {A}.",
        "{A} got an equal part of {x} {items} for {y} people.",
        "{A} was one of {y} children who shared {x} {items} equally.",
        "{x} {items} went into {y} equal piles, and {A} took one.",
        "{A} took one of {y} equal piles made from {x} {items}.",
        "{A} split {x} {items} among {y} friends evenly and got one share too.",
        "{A} packed {x} {items} into {y} equal boxes and kept one.",
        "From {x} {items} in {y} equal bags {A} took one bag.",
        "{y} people, {A} too, split {x} {items} equally.",
    ),
    (
        "{A} was one of {y} people who split {x} {items} equally.",
        "{x} {items} went into {y} equal boxes, and {A} kept one.",
        "From {x} {items} in {y} equal piles {A} got one share.",
        "{A} got one of {y} equal bags made from {x} {items}.",
    ),
)
GAINED: Group = (
    (
        "{A} had {x} {items} and [got|bought|found|won] {y} more.",
        "{A} started with {x} {items} and [got|found] {y} more.",
        "To {A}'s {x} {items} came {y} more.",
        "{A} bought {x} {items} in the morning and {y} in the evening.",
        "{A} has {x} red {items} and {y} blue {items}.",
        "{A} found {x} {items}, then {y} more.",
        "{A} had {x} {items}; a friend gave {A} {y}.",
        "{A} collected {x} and later {y} {items}.",
        "After {x} {items} {A} got {y} more.",
        "{A} has {x} {items} in a bag and {y} in a box.",
    ),
    (
        "{A} found {x} {items} in the morning and {y} in the evening.",
        "{A} had {x} {items}, then bought {y} more.",
        "{A} has {x} red and {y} blue {items}.",
        "To {A}'s {x} {items} a friend gave {y} more.",
    ),
)

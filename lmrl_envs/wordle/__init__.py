"""Wordle: word lists, rules, the task, its reference players and the behaviours that wrote its datasets."""

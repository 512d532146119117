"""Leaderboards: suites of runs, the command that trains and scores them, and the page that shows them."""

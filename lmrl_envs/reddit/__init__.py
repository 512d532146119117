"""Reddit comments: a corpus with a known truth, learned rewards, and the task of answering a comment."""

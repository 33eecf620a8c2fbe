"""A ChatModel and tasks in, numbers out: predictions, reports, paired comparisons and the page that shows them."""

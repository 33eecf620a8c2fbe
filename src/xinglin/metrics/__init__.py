"""Pure numbers, no I/O: scores and predictions in, `Metric` and p-values out (evaluation.md sections 7 and 9)."""

"""Facts and passages: importing them, keeping them, finding them in a question, checking a sentence against them."""

"""Public file formats: the only parsers of other people's exams, dialogues and preference files."""

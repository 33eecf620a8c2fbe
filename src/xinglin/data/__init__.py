"""Facts and dialogues in, records out → Sample, Preference, Ranking (and the held-out Questions)."""

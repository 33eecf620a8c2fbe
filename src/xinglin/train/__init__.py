"""Records in, weights out → Checkpoint. One stage is one file."""

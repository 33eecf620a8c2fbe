"""Weights on disk in Hugging Face format → Checkpoint."""

import logging

# It says at import, to everybody, that a kernel for 4-bit weights on a CPU could be downloaded. PEFT imports it.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

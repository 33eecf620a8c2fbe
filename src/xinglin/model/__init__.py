"""Weights on disk in Hugging Face format → Checkpoint."""

import logging

# It says at import, to everybody, that a kernel for 4-bit weights on a CPU could be downloaded. PEFT imports it.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
# DeepSpeed, where it is installed, is imported whenever a model is saved, and says that it has found no GPU.
logging.getLogger("DeepSpeed").addFilter(lambda record: "Setting accelerator to CPU" not in str(record.msg))

"""Where the real data is: the folder in XINGLIN_DATA, by default ../shared/data; tests that read it skip without it.

The variable is taken out of the environment: it is the data root of the commands too, and those under test have their
own data.
"""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.pop("XINGLIN_DATA", "") or Path(__file__).parents[2] / "shared" / "data").resolve()

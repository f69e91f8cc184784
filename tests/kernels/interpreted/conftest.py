"""The interpreter as all files of this folder have it; the other tests only walk past."""

import os

if os.environ.get("TRITON_INTERPRET") == "1":
    from proof.interpreter import patch_the_language_once_a_launch

    patch_the_language_once_a_launch()

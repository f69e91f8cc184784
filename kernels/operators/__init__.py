"""The ops in Triton as operators of torch, ``torch.ops.isoflop.*``: one file an op; ``boundary`` is what all share.

Every tensor has a leading model axis K. For trainers of others; code that holds its own buffers calls the launchers.
"""

from isoflop.errors import require

require("triton", extra="gpu")

from isoflop.kernels.operators.attention import attention  # noqa: E402
from isoflop.kernels.operators.cross_entropy import linear_cross_entropy  # noqa: E402
from isoflop.kernels.operators.embed import embed  # noqa: E402
from isoflop.kernels.operators.linear import linear  # noqa: E402
from isoflop.kernels.operators.mlp import mlp  # noqa: E402
from isoflop.kernels.operators.moe import moe  # noqa: E402
from isoflop.kernels.operators.norm import add_norm, norm  # noqa: E402
from isoflop.kernels.operators.qkv import norm_qkv  # noqa: E402

__all__ = ["add_norm", "attention", "embed", "linear", "linear_cross_entropy", "mlp", "moe", "norm", "norm_qkv"]

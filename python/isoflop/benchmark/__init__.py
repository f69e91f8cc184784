"""The kernels against their ceilings: rooflines by arithmetic, and what this machine's device does, measured."""

from isoflop.errors import require

require("torch", extra="train")
require("triton", extra="gpu")

from isoflop.benchmark.files import write as write  # noqa: E402
from isoflop.benchmark.found import Bench as Bench  # noqa: E402
from isoflop.benchmark.roofline import predict as predict  # noqa: E402
from isoflop.benchmark.run import DEVICES as DEVICES  # noqa: E402
from isoflop.benchmark.run import LIMIT as LIMIT  # noqa: E402
from isoflop.benchmark.run import bench as bench  # noqa: E402
from isoflop.benchmark.tune import tune as tune  # noqa: E402

"""Intensity and least time of every op on published devices: arithmetic, nothing measured.

python bench/kernels_roofline.py
python bench/kernels_roofline.py --chip h100-sxm --width 768 --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from isoflop.benchmark.ceilings import DTYPES
from isoflop.benchmark.roofline import CHIPS, WIDTHS, predict
from isoflop.benchmark.tables import roofline_table
from isoflop.cli.console import print_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", action="append", help=f"a published device; default {', '.join(CHIPS)}")
    parser.add_argument("--width", action="append", type=int, help=f"d_model; default {', '.join(map(str, WIDTHS))}")
    parser.add_argument("--op", action="append", help="of isoflop.benchmark.cases; default all")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--dtype", choices=[*DTYPES.values()], default="bf16")
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args())
    as_json, sizes = (
        given.pop("json"),
        {"chips": given.pop("chip"), "widths": given.pop("width"), "ops": given.pop("op")},
    )
    rows = [*predict(**{name: value for name, value in (given | sizes).items() if value is not None})]
    table = roofline_table(rows)
    if as_json:
        print(json.dumps({"caption": table.caption, **given, "rows": [asdict(row) for row in rows]}, indent=1))
        return
    print(table.caption)
    print_table(table.headings, table.rows)


if __name__ == "__main__":
    main()

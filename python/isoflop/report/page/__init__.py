"""A study as one page that needs no network: its runs and laws, figures to point at, and a planner that answers."""

from __future__ import annotations

from isoflop.report.page.written import write_page, write_report

__all__ = ["write_page", "write_report"]

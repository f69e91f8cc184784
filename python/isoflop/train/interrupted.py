"""The end of a training that was asked to stop; no error, so that the record of a run stays open."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and did, between two steps, having written where every run stands."""

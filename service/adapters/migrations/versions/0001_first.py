"""The tables of Kiln 0.1.0, which wrote no number."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: a database at this step has them."""

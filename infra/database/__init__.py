"""What each database needs that SQLAlchemy does not give: drivers, rows, schema."""
